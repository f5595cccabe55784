ALTER TABLE batches ADD COLUMN input_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
CREATE INDEX batches_open_of_workspace ON batches (workspace) WHERE ended_at IS NULL;

-- A workspace that is archived keeps its row, so that its name is not given again. Quotas: NULL for no bound; money is in
-- nano-dollars.
CREATE TABLE workspaces (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    archived_at INTEGER,
    queued_requests INTEGER,
    concurrent_batches INTEGER,
    stored_bytes INTEGER,
    monthly_spend INTEGER
) STRICT, WITHOUT ROWID;

-- Bytes of all blobs that batches and files of a workspace have, changed in the transactions that give and take them.
CREATE TABLE workspace_bytes (
    workspace TEXT PRIMARY KEY,
    stored_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the batches have cost that ended in a month; those that have not ended have their cost in their own rows.
CREATE TABLE workspace_spend (
    workspace TEXT NOT NULL,
    month TEXT NOT NULL,
    cost INTEGER NOT NULL,
    PRIMARY KEY (workspace, month)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    scopes TEXT NOT NULL,
    hint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_workspace ON api_keys (workspace, key);

-- Of what is there already: every workspace that has anything, and the bytes that are known. How large the inputs of
-- batches were that have ended is not.
INSERT INTO workspaces (name, created_at)
SELECT workspace, min(created_at)
FROM (SELECT workspace, created_at FROM batches UNION ALL SELECT workspace, created_at FROM files) AS known
GROUP BY workspace;
UPDATE batches
SET input_size = (SELECT coalesce(sum(byte_length), 0) FROM shards WHERE batch_key = batches.key)
WHERE ended_at IS NULL;
INSERT INTO workspace_bytes (workspace, stored_bytes)
SELECT workspace, sum(bytes)
FROM (
    SELECT workspace, input_size + coalesce(results_size, 0) AS bytes FROM batches WHERE deleted_at IS NULL
    UNION ALL
    SELECT workspace, size FROM files WHERE blob IS NOT NULL AND deleted_at IS NULL
) AS known
GROUP BY workspace;
