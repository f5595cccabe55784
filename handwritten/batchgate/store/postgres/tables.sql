-- name: begin_read
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: begin_write
SET LOCAL synchronous_commit = on

-- name: block_writers
LOCK TABLE batches, files IN SHARE ROW EXCLUSIVE MODE

-- name: list_recent_members
SELECT name FROM members WHERE seen_at > now() - interval '1 minute' ORDER BY name

-- name: tables
SELECT c.relname AS name,
    array_agg(a.attname::text ORDER BY a.attnum) AS columns,
    coalesce(array_agg(a.attname::text) FILTER (WHERE a.atttypid = 'boolean'::regtype), '{}') AS booleans,
    coalesce((
        SELECT array_agg(k.attname::text ORDER BY array_position(i.indkey::smallint[], k.attnum))
        FROM pg_index AS i JOIN pg_attribute AS k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary
    ), '{}') AS key
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::text::regnamespace
GROUP BY c.oid, c.relname
ORDER BY c.relname

-- name: references
SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::text::regnamespace

-- name: is_text
SELECT 1 FROM pg_attribute
WHERE attrelid = %(table)s::regclass AND attname = %(column)s AND atttypid = 'text'::regtype

-- name: last_keys
SELECT a.attrelid::regclass::text AS name, pg_sequence_last_value(s.seqrelid) AS key
FROM pg_sequence AS s
JOIN pg_depend AS d ON d.objid = s.seqrelid AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE pg_sequence_last_value(s.seqrelid) IS NOT NULL

-- name: set_last_key
SELECT setval(pg_get_serial_sequence(%(table)s, 'key'), %(key)s)

-- name: count_chunks
UPDATE shards SET chunks = counted.number
FROM (SELECT batch_key, shard, max(number) AS number FROM chunks GROUP BY batch_key, shard) AS counted
WHERE shards.batch_key = counted.batch_key AND shards.shard = counted.shard

-- name: sent_marks
SELECT batch_key, shard, bits FROM sent_marks ORDER BY batch_key, shard

-- name: add_marks
INSERT INTO sent_marks (batch_key, shard, bits) VALUES (%(batch_key)s, %(shard)s, %(bits)s)

-- name: blob_names
SELECT input_blob FROM batches WHERE deleted_at IS NULL AND input_blob IS NOT NULL
UNION ALL SELECT results_blob FROM batches WHERE deleted_at IS NULL AND results_blob IS NOT NULL
UNION ALL SELECT blob FROM files WHERE deleted_at IS NULL AND blob IS NOT NULL
