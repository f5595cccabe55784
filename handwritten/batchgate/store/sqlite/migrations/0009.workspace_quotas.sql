-- Quotas of files and of creates in a minute; NULL for no limit.
ALTER TABLE workspaces ADD COLUMN files INTEGER;
ALTER TABLE workspaces ADD COLUMN creates_per_minute INTEGER;

-- The uploaded files of a workspace; as in the sum of the bytes, views of results do not count.
ALTER TABLE workspace_bytes ADD COLUMN files INTEGER NOT NULL DEFAULT 0;
UPDATE workspace_bytes SET files = (
    SELECT count(*) FROM files
    WHERE files.workspace = workspace_bytes.workspace AND blob IS NOT NULL AND deleted_at IS NULL
);

-- The batches and uploads that were accepted in a minute, counted since the epoch; only those of the last minutes are kept.
CREATE TABLE workspace_creates (
    workspace TEXT NOT NULL,
    minute INTEGER NOT NULL,
    creates INTEGER NOT NULL,
    PRIMARY KEY (workspace, minute)
) STRICT, WITHOUT ROWID;
