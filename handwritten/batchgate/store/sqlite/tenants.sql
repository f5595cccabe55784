-- name: ensure_workspace
INSERT INTO workspaces (name, created_at) VALUES (:name, :now)
ON CONFLICT (name) DO UPDATE SET archived_at = NULL

-- name: insert_workspace
INSERT INTO workspaces (
    name, created_at, queued_requests, concurrent_batches, stored_bytes, files, creates_per_minute, monthly_spend
)
VALUES (
    :name, :created_at, :queued_requests, :concurrent_batches, :stored_bytes,
    :files, :creates_per_minute, :monthly_spend
)
ON CONFLICT (name) DO NOTHING
RETURNING name

-- name: find_workspace
SELECT * FROM workspaces WHERE name = :name AND archived_at IS NULL

-- name: list_workspaces
SELECT * FROM workspaces WHERE archived_at IS NULL AND name > :after ORDER BY name LIMIT :limit

-- name: update_quotas
UPDATE workspaces
SET queued_requests = :queued_requests, concurrent_batches = :concurrent_batches, stored_bytes = :stored_bytes,
    files = :files, creates_per_minute = :creates_per_minute, monthly_spend = :monthly_spend
WHERE name = :name AND archived_at IS NULL
RETURNING *

-- name: archive_workspace
UPDATE workspaces SET archived_at = :now WHERE name = :name RETURNING name

-- name: workspace_contents
SELECT
    EXISTS (SELECT 1 FROM batches WHERE workspace = :name AND deleted_at IS NULL) AS batches,
    EXISTS (
        SELECT 1 FROM files
        WHERE workspace = :name AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
    ) AS files,
    EXISTS (
        SELECT 1 FROM api_keys
        WHERE workspace = :name AND (expires_at IS NULL OR expires_at > :now)
            AND (revoked_at IS NULL OR revoked_at > :now)
    ) AS keys

-- name: workspace_usage
SELECT
    open_batches.requests AS queued_requests,
    open_batches.batches AS concurrent_batches,
    coalesce((SELECT stored_bytes FROM workspace_bytes WHERE workspace = :workspace), 0) AS stored_bytes,
    coalesce((SELECT files FROM workspace_bytes WHERE workspace = :workspace), 0) AS files,
    coalesce(
        (SELECT creates FROM workspace_creates WHERE workspace = :workspace AND minute = :minute), 0
    ) AS creates_per_minute,
    -- The budget has the spend of its month; without one, it is added up.
    coalesce(
        (
            SELECT CASE WHEN month >= :month THEN spent ELSE 0 END FROM monthly_budgets
            WHERE kind = 'workspace' AND workspace = :workspace AND name = :workspace
        ),
        (SELECT sum(cost) FROM daily_usage WHERE day IN (SELECT value FROM json_each(:days)) AND workspace = :workspace),
        0
    ) AS monthly_spend
FROM (
    SELECT
        count(*) AS batches,
        coalesce(sum(total - succeeded - errored), 0) AS requests
    FROM batches WHERE workspace = :workspace AND ended_at IS NULL
) AS open_batches

-- name: count_creates
INSERT INTO workspace_creates (workspace, minute, creates) VALUES (:workspace, :minute, :creates)
ON CONFLICT (workspace, minute) DO UPDATE SET creates = workspace_creates.creates + excluded.creates

-- name: forget_creates
DELETE FROM workspace_creates WHERE workspace = :workspace AND minute < :before

-- name: charge_bytes
INSERT INTO workspace_bytes (workspace, stored_bytes, files)
VALUES (:workspace, :stored_bytes, :files)
ON CONFLICT (workspace) DO UPDATE
SET stored_bytes = workspace_bytes.stored_bytes + excluded.stored_bytes, files = workspace_bytes.files + excluded.files

-- name: has_keys
SELECT 1 FROM api_keys LIMIT 1

-- name: insert_key
INSERT INTO api_keys (id, digest, name, workspace, scopes, hint, created_at, expires_at)
VALUES (:id, :digest, :name, :workspace, :scopes, :hint, :created_at, :expires_at)

-- name: revoke_active_key
UPDATE api_keys SET revoked_at = :revoked_at
WHERE id = :id AND (expires_at IS NULL OR expires_at > :now) AND (revoked_at IS NULL OR revoked_at > :now)
RETURNING id

-- name: find_key
SELECT * FROM api_keys WHERE id = :id

-- name: other_active_keys
SELECT 1 FROM api_keys
WHERE id <> :id AND scopes LIKE :scopes AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
LIMIT 1

-- name: key_by_digest
SELECT * FROM api_keys WHERE digest = :digest

-- name: key_cursor
SELECT key FROM api_keys WHERE id = :id AND workspace = :workspace

-- name: list_keys
SELECT * FROM api_keys WHERE workspace = :workspace AND key < :older_than ORDER BY key DESC LIMIT :limit

-- name: record_key_use
UPDATE api_keys SET last_used_at = :at WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :at)
