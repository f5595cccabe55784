-- name: results_blob_between
SELECT key, id, workspace, results_blob AS name, results_size AS size, results_sha256 AS sha256 FROM batches
WHERE key BETWEEN :first AND :last AND results_blob IS NOT NULL AND deleted_at IS NULL
ORDER BY key LIMIT 1

-- name: file_blob_between
SELECT key, id, workspace, blob AS name, size, sha256 FROM files
WHERE key BETWEEN :first AND :last AND blob IS NOT NULL AND deleted_at IS NULL
ORDER BY key LIMIT 1

-- name: load_scrub_state
SELECT state FROM scrub_state

-- name: save_scrub_state
INSERT INTO scrub_state (id, state) VALUES (1, :state) ON CONFLICT (id) DO UPDATE SET state = excluded.state
