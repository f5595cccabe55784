-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name

-- name: columns
SELECT name, pk FROM pragma_table_info(:name) ORDER BY cid

-- name: references
SELECT "table" FROM pragma_foreign_key_list(:name)

-- name: last_keys
SELECT name, seq FROM sqlite_sequence WHERE name NOT LIKE '%migration%' AND seq > 0

-- name: drop_last_key
DELETE FROM sqlite_sequence WHERE name = :name

-- name: set_last_key
INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :key)

-- name: unfinished_shards
SELECT batch_key, shard FROM shards WHERE done = 0

-- name: blob_names
SELECT input_blob FROM batches WHERE deleted_at IS NULL AND input_blob IS NOT NULL
UNION ALL SELECT results_blob FROM batches WHERE deleted_at IS NULL AND results_blob IS NOT NULL
UNION ALL SELECT blob FROM files WHERE deleted_at IS NULL AND blob IS NOT NULL
