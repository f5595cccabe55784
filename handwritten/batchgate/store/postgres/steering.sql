-- name: steer_batch
UPDATE batches
SET terms = %(terms)s, pause = %(pause)s, expires_at = %(expires_at)s, budget = %(budget)s, priority = %(priority)s, priority_scope = %(priority_scope)s,
    concurrency = %(concurrency)s, concurrency_changes = %(concurrency_changes)s,
    awaits_plan = %(awaits_plan)s, lane_changes = %(lane_changes)s,
    pace = CASE WHEN %(pause)s::text IS NULL AND lane_changes = %(lane_changes)s THEN pace END
WHERE key = %(batch_key)s

-- name: withdraw_jobs
DELETE FROM procrastinate_jobs AS jobs USING shards
WHERE shards.batch_key = %(batch_key)s AND NOT shards.done
    AND jobs.status = 'todo' AND jobs.queueing_lock = shards.batch_key || '/' || shards.shard

-- name: hold_shards
-- Of a claimed shard too, the row is locked: a release that is not committed yet would be missed otherwise.
UPDATE shards SET held = NOT claimed WHERE batch_key = %(batch_key)s AND NOT done

-- name: store_fail_fast
UPDATE batches SET fail_fast = %(fail_fast)s WHERE key = %(batch_key)s

-- name: suspended_batches
SELECT key FROM batches
WHERE ended_at IS NULL AND (pause IS NOT NULL OR (awaits_plan AND lane_changes > 0))
ORDER BY key

-- name: concurrency_caps
SELECT key, concurrency, concurrency_changes FROM batches
WHERE ended_at IS NULL AND (concurrency IS NOT NULL OR concurrency_changes > 0)
ORDER BY key

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
SELECT %(batch_key)s, coalesce(max(number), 0) + 1, %(at)s, %(action)s, %(by)s, %(detail)s
FROM batch_timeline WHERE batch_key = %(batch_key)s

-- name: shorten_timeline
DELETE FROM batch_timeline
WHERE batch_key = %(batch_key)s
    AND number <= (SELECT max(number) FROM batch_timeline WHERE batch_key = %(batch_key)s) - %(kept)s

-- name: latest_actions
SELECT batch_key, max(number) AS number FROM batch_timeline WHERE batch_key = ANY(%(batch_keys)s::bigint[]) GROUP BY batch_key

-- name: timeline_of_batch
SELECT at, action, actor AS by, detail FROM batch_timeline WHERE batch_key = %(batch_key)s ORDER BY number
