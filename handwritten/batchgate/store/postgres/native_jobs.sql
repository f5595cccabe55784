-- name: unplanned_batches
SELECT key FROM batches
WHERE ended_at IS NULL AND awaits_plan AND status IN ('in_progress', 'canceling')
ORDER BY key

-- name: find_unplanned
SELECT * FROM batches
WHERE key = %(batch_key)s AND ended_at IS NULL AND awaits_plan AND status IN ('in_progress', 'canceling')
    AND NOT EXISTS (SELECT 1 FROM shards WHERE batch_key = %(batch_key)s AND NOT done AND NOT held)

-- name: end_planning
UPDATE batches SET awaits_plan = false
WHERE key = %(batch_key)s AND awaits_plan AND lane_changes = %(lane_changes)s AND status IN ('in_progress', 'canceling')
RETURNING status

-- name: insert_native_job
INSERT INTO native_jobs (
    batch_key, token, account, model, kind, seqs, first_seq, last_seq, requests, tokens, state, epoch, credential,
    upstream_file, upstream_id, upstream_status, creating_at, created_at, submitted_at, ended_at, cancel_requested_at,
    sent, uploads, cleaned, refusals, answered, reason, account_missed_at, paid_twice,
    replans
)
VALUES (
    %(batch_key)s, %(token)s, %(account)s, %(model)s, %(kind)s, %(seqs)s, %(first_seq)s, %(last_seq)s, %(requests)s,
    %(tokens)s, %(state)s, %(epoch)s, %(credential)s, %(upstream_file)s, %(upstream_id)s, %(upstream_status)s,
    %(creating_at)s, %(created_at)s, %(submitted_at)s, %(ended_at)s, %(cancel_requested_at)s,
    %(sent)s, %(uploads)s, %(cleaned)s, %(refusals)s, %(answered)s, %(reason)s,
    %(account_missed_at)s, %(paid_twice)s, %(replans)s
)

-- name: insert_lanes
INSERT INTO batch_lanes (batch_key, lanes) VALUES (%(batch_key)s, %(lanes)s)
ON CONFLICT (batch_key) DO UPDATE SET lanes = excluded.lanes

-- name: lanes_of_batch
SELECT lanes FROM batch_lanes WHERE batch_key = %(batch_key)s

-- name: has_new_native_jobs
SELECT 1 FROM native_jobs WHERE state NOT IN ('done', 'failed', 'withdrawn') AND epoch = 0 LIMIT 1

-- name: take_native_jobs
WITH locked AS (
    SELECT key FROM native_jobs
    WHERE state NOT IN ('done', 'failed', 'withdrawn') AND (epoch = 0 OR NOT %(new_only)s)
    ORDER BY key FOR NO KEY UPDATE
)
UPDATE native_jobs SET epoch = epoch + 1 FROM locked WHERE native_jobs.key = locked.key RETURNING native_jobs.*

-- name: native_jobs_of_batch
SELECT * FROM native_jobs WHERE batch_key = %(batch_key)s ORDER BY key

-- name: active_jobs_of_batches
SELECT * FROM native_jobs
WHERE batch_key = ANY(%(batch_keys)s::bigint[]) AND state NOT IN ('done', 'failed', 'withdrawn')
ORDER BY key

-- name: set_paid_twice
UPDATE native_jobs SET paid_twice = %(paid_twice)s WHERE key = %(key)s AND paid_twice IS NULL RETURNING key

-- name: count_late_answers
UPDATE batches
SET paid_twice = paid_twice + %(paid_twice)s, cost = cost + %(cost)s, native_cost = native_cost + %(native_cost)s,
    saved = saved + %(saved)s, unpriced = unpriced + %(unpriced)s
WHERE key = %(batch_key)s
RETURNING key, workspace, caller, ended_at

-- name: lock_native_job
SELECT * FROM native_jobs WHERE key = %(key)s AND epoch = %(epoch)s FOR NO KEY UPDATE

-- name: save_native_job
UPDATE native_jobs
SET seqs = %(seqs)s, first_seq = %(first_seq)s, last_seq = %(last_seq)s, requests = %(requests)s,
    sent = %(sent)s, uploads = %(uploads)s, account_missed_at = %(account_missed_at)s, cleaned = %(cleaned)s,
    state = %(state)s, credential = %(credential)s, upstream_file = %(upstream_file)s,
    upstream_id = %(upstream_id)s, upstream_status = %(upstream_status)s, creating_at = %(creating_at)s, submitted_at = %(submitted_at)s,
    ended_at = %(ended_at)s, cancel_requested_at = %(cancel_requested_at)s, refusals = %(refusals)s,
    answered = %(answered)s, reason = %(reason)s, replans = %(replans)s
WHERE key = %(key)s AND epoch = %(epoch)s AND state NOT IN ('done', 'failed', 'withdrawn')
RETURNING key

-- name: known_upstream_ids
SELECT upstream_id FROM native_jobs WHERE upstream_id = ANY (%(ids)s::text[])

-- name: uncleaned_native_jobs
SELECT * FROM native_jobs
WHERE NOT cleaned AND state IN ('done', 'failed', 'withdrawn') AND ended_at > %(ended_after)s ORDER BY key

-- name: mark_native_job_cleaned
UPDATE native_jobs SET cleaned = true, upstream_id = %(upstream_id)s WHERE key = %(key)s

-- name: finished_between
SELECT chunks.seqs FROM shards JOIN chunks USING (batch_key, shard)
WHERE batch_key = %(batch_key)s
    AND shards.first_seq <= %(last_seq)s AND shards.first_seq + shards.requests > %(first_seq)s

-- name: lock_claimed_shard
SELECT * FROM shards
WHERE batch_key = %(batch_key)s AND shard = %(shard)s AND epoch = %(epoch)s AND NOT done
FOR NO KEY UPDATE

-- name: number_native_chunk
UPDATE shards SET chunks = chunks + 1
WHERE batch_key = %(batch_key)s AND shard = %(shard)s AND NOT done
RETURNING chunks AS number

-- name: hold_shard
UPDATE shards SET claimed = false, held = %(held)s WHERE batch_key = %(batch_key)s AND shard = %(shard)s

-- name: drop_queued_jobs
-- A held shard has no queue job: when it is released, it gets a new one.
DELETE FROM procrastinate_jobs
WHERE queueing_lock = %(batch_key)s::bigint || '/' || %(shard)s::bigint
    AND (status = 'todo' OR (status = 'doing' AND worker_id IS NOT NULL))

-- name: held_shards
SELECT shard, first_seq, requests FROM shards WHERE batch_key = %(batch_key)s AND held ORDER BY shard

-- name: release_held_shards
UPDATE shards SET held = false WHERE batch_key = %(batch_key)s AND shard = ANY (%(shard)s::bigint[])

-- name: defer_released_jobs
-- A worker that could not claim the shard, or has died, may still have its queue job: two jobs would be two claims.
-- The shards of a paused batch get jobs when it is resumed.
SELECT procrastinate_defer_jobs_v1(ARRAY(
    SELECT ROW(
        'shards', 'run_shard', -shard, NULL, %(batch_key)s::bigint || '/' || shard,
        jsonb_build_object('batch_key', %(batch_key)s::bigint, 'shard', shard), NULL
    )::procrastinate_job_to_defer_v1
    FROM unnest(%(shard)s::bigint[]) AS shard
    WHERE NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs
        WHERE status IN ('todo', 'doing') AND queueing_lock = %(batch_key)s::bigint || '/' || shard
    ) AND EXISTS (SELECT 1 FROM batches WHERE key = %(batch_key)s::bigint AND pause IS NULL)
))
