-- name: insert_webhook
INSERT INTO webhooks (id, workspace, url, events, secret, created_at, updated_at)
SELECT :id, :workspace, :url, :events, :secret, :created_at, :created_at
WHERE (SELECT count(*) FROM webhooks WHERE workspace = :workspace) < :limit
RETURNING *

-- name: find_webhook
SELECT * FROM webhooks WHERE id = :id AND workspace = :workspace

-- name: list_webhooks
SELECT * FROM webhooks WHERE workspace = :workspace ORDER BY key

-- name: update_webhook
UPDATE webhooks SET url = coalesce(:url, url), events = coalesce(:events, events), updated_at = :now
WHERE id = :id AND workspace = :workspace
RETURNING *

-- name: rotate_webhook
UPDATE webhooks
SET previous_secret = secret, previous_secret_until = :previous_until, secret = :secret, updated_at = :now
WHERE id = :id AND workspace = :workspace
RETURNING *

-- name: delete_webhook
DELETE FROM webhooks WHERE id = :id AND workspace = :workspace RETURNING key

-- name: add_event
-- One row for each webhook that wants the event. A webhook without a URL sends it to the one that the batch names.
INSERT INTO webhook_deliveries (
    webhook_key, event_id, batch_key, type, payload, url, created_at, state, attempts, next_attempt_at, retry_until
)
SELECT key, :id, :batch_key, :type, :payload, iif(url IS NULL, :url, NULL), :at, 'pending', 0, :at, :retry_until
FROM webhooks
WHERE workspace = :workspace AND (url IS NOT NULL OR :url IS NOT NULL)
    AND EXISTS (SELECT 1 FROM json_each(events) WHERE value = :kind)

-- name: add_sample_event
INSERT INTO webhook_deliveries (
    webhook_key, event_id, type, payload, created_at, state, attempts, next_attempt_at, retry_until
)
SELECT key, :id, :type, :payload, :at, 'pending', 0, :at, :retry_until FROM webhooks WHERE key = :webhook_key
RETURNING *, NULL AS batch_id

-- name: due_webhooks
SELECT * FROM webhooks WHERE EXISTS (
    SELECT 1 FROM webhook_deliveries AS due
    WHERE due.webhook_key = webhooks.key AND state = 'pending' AND next_attempt_at <= :now AND NOT EXISTS (
        SELECT 1 FROM webhook_deliveries AS earlier
        WHERE earlier.webhook_key = due.webhook_key AND earlier.batch_key = due.batch_key
            AND earlier.state = 'pending' AND earlier.key < due.key
    )
)
ORDER BY key

-- name: due_deliveries
SELECT due.*, batches.id AS batch_id
FROM webhook_deliveries AS due LEFT JOIN batches ON batches.key = due.batch_key
WHERE due.webhook_key = :webhook_key AND state = 'pending' AND next_attempt_at <= :now AND NOT EXISTS (
    SELECT 1 FROM webhook_deliveries AS earlier
    WHERE earlier.webhook_key = due.webhook_key AND earlier.batch_key = due.batch_key
        AND earlier.state = 'pending' AND earlier.key < due.key
)
ORDER BY next_attempt_at, due.key LIMIT :limit

-- name: record_attempt
UPDATE webhook_deliveries
SET attempts = attempts + 1, state = :state, next_attempt_at = :next_attempt_at, attempted_at = :at,
    response_status = :response_status, error = :error
WHERE key = :key AND state = 'pending' AND attempts = :attempts
RETURNING key

-- name: list_deliveries
SELECT deliveries.*, batches.id AS batch_id
FROM webhook_deliveries AS deliveries LEFT JOIN batches ON batches.key = deliveries.batch_key
WHERE webhook_key = :webhook_key AND deliveries.key < :before AND (:state IS NULL OR state = :state)
ORDER BY deliveries.key DESC LIMIT :limit

-- name: find_delivery
SELECT deliveries.*, batches.id AS batch_id
FROM webhook_deliveries AS deliveries LEFT JOIN batches ON batches.key = deliveries.batch_key
WHERE webhook_key = :webhook_key AND event_id = :event_id

-- name: replay_delivery
UPDATE webhook_deliveries
SET state = 'pending', attempts = 0, next_attempt_at = :now, retry_until = :retry_until, error = NULL
WHERE webhook_key = :webhook_key AND event_id = :event_id

-- name: drop_deliveries
DELETE FROM webhook_deliveries WHERE created_at < :created_before AND state <> 'pending'
