-- name: lock_keys
SELECT pg_advisory_xact_lock(hashtextextended('batchgate keys', 0))

-- name: ensure_workspace
INSERT INTO workspaces (name, created_at) VALUES (%(name)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET archived_at = NULL

-- name: insert_workspace
INSERT INTO workspaces (
    name, created_at, queued_requests, concurrent_batches, stored_bytes, files, creates_per_minute, monthly_spend
)
VALUES (
    %(name)s, %(created_at)s, %(queued_requests)s, %(concurrent_batches)s, %(stored_bytes)s,
    %(files)s, %(creates_per_minute)s, %(monthly_spend)s
)
ON CONFLICT (name) DO NOTHING
RETURNING name

-- name: find_workspace
SELECT * FROM workspaces WHERE name = %(name)s AND archived_at IS NULL

-- name: lock_workspace
SELECT * FROM workspaces WHERE name = %(name)s AND archived_at IS NULL FOR UPDATE

-- name: list_workspaces
SELECT * FROM workspaces WHERE archived_at IS NULL AND name > %(after)s ORDER BY name LIMIT %(limit)s

-- name: update_quotas
UPDATE workspaces
SET queued_requests = %(queued_requests)s, concurrent_batches = %(concurrent_batches)s, stored_bytes = %(stored_bytes)s,
    files = %(files)s, creates_per_minute = %(creates_per_minute)s, monthly_spend = %(monthly_spend)s
WHERE name = %(name)s AND archived_at IS NULL
RETURNING *

-- name: archive_workspace
UPDATE workspaces SET archived_at = %(now)s WHERE name = %(name)s RETURNING name

-- name: workspace_contents
SELECT
    EXISTS (SELECT 1 FROM batches WHERE workspace = %(name)s AND deleted_at IS NULL) AS batches,
    EXISTS (
        SELECT 1 FROM files
        WHERE workspace = %(name)s AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)
    ) AS files,
    EXISTS (
        SELECT 1 FROM api_keys
        WHERE workspace = %(name)s AND (expires_at IS NULL OR expires_at > %(now)s)
            AND (revoked_at IS NULL OR revoked_at > %(now)s)
    ) AS keys

-- name: workspace_usage
SELECT
    open_batches.requests AS queued_requests,
    open_batches.batches AS concurrent_batches,
    coalesce((SELECT stored_bytes FROM workspace_bytes WHERE workspace = %(workspace)s), 0) AS stored_bytes,
    coalesce((SELECT files FROM workspace_bytes WHERE workspace = %(workspace)s), 0) AS files,
    coalesce(
        (SELECT creates FROM workspace_creates WHERE workspace = %(workspace)s AND minute = %(minute)s), 0
    ) AS creates_per_minute,
    -- The budget has the spend of its month; without one, it is added up.
    coalesce(
        (
            SELECT CASE WHEN month >= %(month)s THEN spent ELSE 0 END FROM monthly_budgets
            WHERE kind = 'workspace' AND workspace = %(workspace)s AND name = %(workspace)s
        ),
        (SELECT sum(cost)::bigint FROM daily_usage WHERE day = ANY(%(days)s::text[]) AND workspace = %(workspace)s),
        0
    ) AS monthly_spend
FROM (
    SELECT
        count(*) AS batches,
        coalesce(sum(total - succeeded - errored), 0)::bigint AS requests
    FROM batches WHERE workspace = %(workspace)s AND ended_at IS NULL
) AS open_batches

-- name: count_creates
INSERT INTO workspace_creates (workspace, minute, creates) VALUES (%(workspace)s, %(minute)s, %(creates)s)
ON CONFLICT (workspace, minute) DO UPDATE SET creates = workspace_creates.creates + excluded.creates

-- name: forget_creates
DELETE FROM workspace_creates WHERE workspace = %(workspace)s AND minute < %(before)s

-- name: charge_bytes
INSERT INTO workspace_bytes (workspace, stored_bytes, files)
VALUES (%(workspace)s, %(stored_bytes)s, %(files)s)
ON CONFLICT (workspace) DO UPDATE
SET stored_bytes = workspace_bytes.stored_bytes + excluded.stored_bytes, files = workspace_bytes.files + excluded.files

-- name: has_keys
SELECT 1 FROM api_keys LIMIT 1

-- name: insert_key
INSERT INTO api_keys (id, digest, name, workspace, scopes, hint, created_at, expires_at)
VALUES (%(id)s, %(digest)s, %(name)s, %(workspace)s, %(scopes)s, %(hint)s, %(created_at)s, %(expires_at)s)

-- name: revoke_active_key
UPDATE api_keys SET revoked_at = %(revoked_at)s
WHERE id = %(id)s AND (expires_at IS NULL OR expires_at > %(now)s) AND (revoked_at IS NULL OR revoked_at > %(now)s)
RETURNING id

-- name: find_key
SELECT * FROM api_keys WHERE id = %(id)s

-- name: other_active_keys
SELECT 1 FROM api_keys
WHERE id <> %(id)s AND scopes LIKE %(scopes)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)
LIMIT 1

-- name: key_by_digest
SELECT * FROM api_keys WHERE digest = %(digest)s

-- name: key_cursor
SELECT key FROM api_keys WHERE id = %(id)s AND workspace = %(workspace)s

-- name: list_keys
SELECT * FROM api_keys WHERE workspace = %(workspace)s AND key < %(older_than)s ORDER BY key DESC LIMIT %(limit)s

-- name: record_key_use
UPDATE api_keys SET last_used_at = %(at)s WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < %(at)s)
