-- SHA-256 of the result file.
ALTER TABLE batches ADD COLUMN results_sha256 bytea;

-- A file counts for at least 4,096 bytes.
UPDATE workspace_bytes SET stored_bytes = stored_bytes + (
    SELECT coalesce(sum(4096 - size), 0) FROM files
    WHERE files.workspace = workspace_bytes.workspace AND blob IS NOT NULL AND deleted_at IS NULL AND size < 4096
);
