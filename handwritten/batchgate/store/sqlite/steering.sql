-- name: steer_batch
UPDATE batches
SET terms = :terms, pause = :pause, expires_at = :expires_at, budget = :budget, priority = :priority, priority_scope = :priority_scope,
    concurrency = :concurrency, concurrency_changes = :concurrency_changes,
    awaits_plan = :awaits_plan, lane_changes = :lane_changes,
    pace = CASE WHEN :pause IS NULL AND lane_changes = :lane_changes THEN pace END
WHERE key = :batch_key

-- name: batch_with_results
SELECT * FROM batches WHERE key = :batch_key

-- name: hold_shards
UPDATE shards SET held = 1 WHERE batch_key = :batch_key AND claimed = 0 AND done = 0

-- name: store_fail_fast
UPDATE batches SET fail_fast = :fail_fast WHERE key = :batch_key

-- name: suspended_batches
SELECT key FROM batches
WHERE ended_at IS NULL AND (pause IS NOT NULL OR (awaits_plan = 1 AND lane_changes > 0))
ORDER BY +key

-- name: concurrency_caps
SELECT key, concurrency, concurrency_changes FROM batches
WHERE ended_at IS NULL AND (concurrency IS NOT NULL OR concurrency_changes > 0)
ORDER BY +key

-- name: contenders
WITH waiting AS (
    SELECT key, workspace, priority, priority_scope FROM batches
    WHERE ended_at IS NULL AND status = 'in_progress' AND pause IS NULL
        AND workspace IN (SELECT workspace FROM batches WHERE ended_at IS NULL AND priority <> 'normal')
        AND EXISTS (SELECT 1 FROM shards WHERE batch_key = batches.key AND NOT done AND NOT held)
)
SELECT key, workspace, priority, priority_scope FROM waiting
WHERE priority_scope = 'gateway' OR workspace IN (
    SELECT workspace FROM waiting WHERE priority_scope = 'workspace' GROUP BY workspace HAVING count(DISTINCT priority) > 1
)
ORDER BY key

-- name: add_timeline_entry
INSERT INTO batch_timeline (batch_key, number, at, action, actor, detail)
SELECT :batch_key, coalesce(max(number), 0) + 1, :at, :action, :by, :detail
FROM batch_timeline WHERE batch_key = :batch_key

-- name: shorten_timeline
DELETE FROM batch_timeline
WHERE batch_key = :batch_key
    AND number <= (SELECT max(number) FROM batch_timeline WHERE batch_key = :batch_key) - :kept

-- name: latest_actions
SELECT batch_key, max(number) AS number FROM batch_timeline WHERE batch_key IN (SELECT value FROM json_each(:batch_keys)) GROUP BY batch_key

-- name: timeline_of_batch
SELECT at, action, actor AS by, detail FROM batch_timeline WHERE batch_key = :batch_key ORDER BY number
