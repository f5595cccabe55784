-- name: insert_webhook
INSERT INTO webhooks (id, workspace, url, events, secret, created_at, updated_at)
SELECT %(id)s::text, %(workspace)s::text, %(url)s::text, %(events)s::text, %(secret)s::bytea, %(created_at)s::bigint, %(created_at)s::bigint
WHERE (SELECT count(*) FROM webhooks WHERE workspace = %(workspace)s) < %(limit)s
RETURNING *

-- name: find_webhook
SELECT * FROM webhooks WHERE id = %(id)s AND workspace = %(workspace)s

-- name: list_webhooks
SELECT * FROM webhooks WHERE workspace = %(workspace)s ORDER BY key

-- name: update_webhook
UPDATE webhooks SET url = coalesce(%(url)s::text, url), events = coalesce(%(events)s::text, events), updated_at = %(now)s
WHERE id = %(id)s AND workspace = %(workspace)s
RETURNING *

-- name: rotate_webhook
UPDATE webhooks
SET previous_secret = secret, previous_secret_until = %(previous_until)s, secret = %(secret)s, updated_at = %(now)s
WHERE id = %(id)s AND workspace = %(workspace)s
RETURNING *

-- name: delete_webhook
DELETE FROM webhooks WHERE id = %(id)s AND workspace = %(workspace)s RETURNING key

-- name: add_event
-- One row for each webhook that wants the event. Such a webhook is locked: it is not deleted before the commit. A webhook without a URL sends it to the one that the batch names.
INSERT INTO webhook_deliveries (
    webhook_key, event_id, batch_key, type, payload, url, created_at, state, attempts, next_attempt_at, retry_until
)
SELECT key, %(id)s::text, %(batch_key)s::bigint, %(type)s::text, %(payload)s::text, CASE WHEN url IS NULL THEN %(url)s::text END,
    %(at)s::bigint, 'pending', 0, %(at)s::bigint, %(retry_until)s::bigint
FROM webhooks
WHERE workspace = %(workspace)s AND (url IS NOT NULL OR %(url)s::text IS NOT NULL) AND events::jsonb ? %(kind)s
ORDER BY key FOR KEY SHARE

-- name: add_sample_event
INSERT INTO webhook_deliveries (
    webhook_key, event_id, type, payload, created_at, state, attempts, next_attempt_at, retry_until
)
SELECT key, %(id)s::text, %(type)s::text, %(payload)s::text, %(at)s::bigint, 'pending', 0, %(at)s::bigint, %(retry_until)s::bigint
FROM webhooks WHERE key = %(webhook_key)s
RETURNING *, NULL::text AS batch_id

-- name: due_webhooks
-- The LIMIT keeps the planner from joining all pending deliveries.
SELECT webhooks.* FROM webhooks CROSS JOIN LATERAL (
    SELECT 1 FROM webhook_deliveries AS due
    WHERE due.webhook_key = webhooks.key AND state = 'pending' AND next_attempt_at <= %(now)s AND NOT EXISTS (
        SELECT 1 FROM webhook_deliveries AS earlier
        WHERE earlier.webhook_key = due.webhook_key AND earlier.batch_key = due.batch_key
            AND earlier.state = 'pending' AND earlier.key < due.key
    )
    LIMIT 1
) AS due
ORDER BY webhooks.key

-- name: due_deliveries
SELECT due.*, batches.id AS batch_id
FROM webhook_deliveries AS due LEFT JOIN batches ON batches.key = due.batch_key
WHERE due.webhook_key = %(webhook_key)s AND state = 'pending' AND next_attempt_at <= %(now)s AND NOT EXISTS (
    SELECT 1 FROM webhook_deliveries AS earlier
    WHERE earlier.webhook_key = due.webhook_key AND earlier.batch_key = due.batch_key
        AND earlier.state = 'pending' AND earlier.key < due.key
)
ORDER BY next_attempt_at, due.key LIMIT %(limit)s

-- name: record_attempt
UPDATE webhook_deliveries
SET attempts = attempts + 1, state = %(state)s, next_attempt_at = %(next_attempt_at)s, attempted_at = %(at)s,
    response_status = %(response_status)s, error = %(error)s
WHERE key = %(key)s AND state = 'pending' AND attempts = %(attempts)s
RETURNING key

-- name: list_deliveries
SELECT deliveries.*, batches.id AS batch_id
FROM webhook_deliveries AS deliveries LEFT JOIN batches ON batches.key = deliveries.batch_key
WHERE webhook_key = %(webhook_key)s AND deliveries.key < %(before)s AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY deliveries.key DESC LIMIT %(limit)s

-- name: find_delivery
SELECT deliveries.*, batches.id AS batch_id
FROM webhook_deliveries AS deliveries LEFT JOIN batches ON batches.key = deliveries.batch_key
WHERE webhook_key = %(webhook_key)s AND event_id = %(event_id)s

-- name: replay_delivery
UPDATE webhook_deliveries
SET state = 'pending', attempts = 0, next_attempt_at = %(now)s, retry_until = %(retry_until)s, error = NULL
WHERE webhook_key = %(webhook_key)s AND event_id = %(event_id)s
RETURNING key

-- name: drop_deliveries
DELETE FROM webhook_deliveries WHERE created_at < %(created_before)s AND state <> 'pending'
