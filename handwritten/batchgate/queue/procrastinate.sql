-- Statements in addition to those of Procrastinate, in its format and read by its parser. Only the worker that holds a
-- job finishes or requeues it: an evicted worker must not end the job of the worker that took it over.

-- record_heartbeat --
-- Record a heartbeat; no row if this worker was considered dead
SELECT procrastinate_update_heartbeat_v1(worker.id)
FROM (SELECT id FROM procrastinate_workers WHERE id = %(worker_id)s FOR UPDATE) AS worker

-- requeue_orphaned_jobs --
-- Requeue the jobs whose worker is gone, and return their batches
SELECT
    batches.id AS batch, batches.workspace, procrastinate_retry_job_v2(job.id, NULL, NULL, NULL, NULL),
    pg_notify('procrastinate_queue_v1#' || %(queue)s, '{"type": "job_inserted", "job_id": 0}')
FROM (
    SELECT id, args FROM procrastinate_jobs
    WHERE status = 'doing' AND queue_name = %(queue)s AND worker_id IS NULL
    FOR UPDATE SKIP LOCKED
) AS job
LEFT JOIN batches ON batches.key = (job.args ->> 'batch_key')::bigint

-- requeue_all_jobs --
-- Requeue all jobs of this worker
SELECT
    job.id, procrastinate_retry_job_v2(job.id, NULL, NULL, NULL, NULL),
    pg_notify('procrastinate_queue_v1#' || %(queue)s, '{"type": "job_inserted", "job_id": 0}')
FROM (
    SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %(worker_id)s FOR UPDATE
) AS job

-- requeue_unheld_jobs --
-- Requeue the jobs that are assigned to this worker but not held by it
SELECT
    job.id, procrastinate_retry_job_v2(job.id, NULL, NULL, NULL, NULL),
    pg_notify('procrastinate_queue_v1#' || %(queue)s, '{"type": "job_inserted", "job_id": 0}')
FROM (
    SELECT id FROM procrastinate_jobs
    WHERE status = 'doing' AND worker_id = %(worker_id)s AND id <> ALL (%(ids)s::bigint[])
    FOR UPDATE
) AS job

-- requeue_jobs --
-- Requeue some jobs of this worker, each available after its delay in seconds
SELECT
    job.id, procrastinate_retry_job_v2(job.id, job.available_at, NULL, NULL, NULL),
    CASE WHEN job.available_at IS NULL
        THEN pg_notify('procrastinate_queue_v1#' || %(queue)s, '{"type": "job_inserted", "job_id": 0}')
    END
FROM (
    SELECT
        jobs.id,
        CASE WHEN requeued.delay > 0 THEN clock_timestamp() + make_interval(secs => requeued.delay) END AS available_at
    FROM unnest(%(ids)s::bigint[], %(delays)s::double precision[]) AS requeued (id, delay)
    JOIN procrastinate_jobs AS jobs ON jobs.id = requeued.id
    WHERE jobs.status = 'doing' AND jobs.worker_id = %(worker_id)s
    FOR UPDATE OF jobs
) AS job

-- finish_jobs --
-- Remove some jobs of this worker
SELECT job.id, procrastinate_finish_job_v1(job.id, 'succeeded', true)
FROM (
    SELECT id FROM procrastinate_jobs
    WHERE id = ANY (%(ids)s::bigint[]) AND status = 'doing' AND worker_id = %(worker_id)s
    FOR UPDATE
) AS job

-- enqueue_missing --
-- Defer a job for every unfinished shard that is not held, has no job, and whose batch is not paused
SELECT procrastinate_defer_jobs_v1(ARRAY(
    SELECT ROW(
        %(queue)s, %(task)s, -shard, NULL, batch_key || '/' || shard,
        jsonb_build_object('batch_key', batch_key, 'shard', shard), NULL
    )::procrastinate_job_to_defer_v1
    FROM shards
    JOIN batches ON batches.key = shards.batch_key
    WHERE NOT done AND NOT held AND batches.pause IS NULL AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS jobs
        WHERE jobs.queue_name = %(queue)s AND jobs.status IN ('todo', 'doing')
            AND jobs.queueing_lock = shards.batch_key || '/' || shards.shard
    )
    ORDER BY shard, batch_key
))

-- expedite --
-- Move the jobs of some batches before all others
UPDATE procrastinate_jobs AS jobs SET priority = %(priority)s - shards.shard
FROM shards
WHERE shards.batch_key = ANY (%(batch_keys)s::bigint[]) AND NOT shards.done
    AND jobs.status = 'todo' AND jobs.queueing_lock = shards.batch_key || '/' || shards.shard AND jobs.priority <= 0
RETURNING jobs.id

-- move --
-- Move the waiting jobs of batches that compete with all others: for each job of all the others together, one of the
-- weight 9 has one job, counted from the first place that another job has; those of the weight 0 get their own places
WITH moving AS (
    SELECT * FROM unnest(%(batch_keys)s::bigint[], %(weights)s::integer[]) AS moving (batch_key, weight)
), waiting AS (
    SELECT
        jobs.id, moving.weight, shards.shard,
        row_number() OVER (PARTITION BY moving.batch_key ORDER BY shards.shard) - 1 AS number
    FROM moving
    JOIN shards ON shards.batch_key = moving.batch_key AND NOT shards.done
    JOIN procrastinate_jobs AS jobs
        ON jobs.status = 'todo' AND jobs.queueing_lock = shards.batch_key || '/' || shards.shard AND jobs.priority <= 0
), others AS (
    SELECT
        coalesce(max(priority), 0) AS first,
        greatest(count(DISTINCT split_part(queueing_lock, '/', 1)), 1)::double precision AS batches
    FROM procrastinate_jobs
    WHERE status = 'todo' AND queue_name = %(queue)s AND priority <= 0
        AND split_part(queueing_lock, '/', 1)::bigint <> ALL(%(batch_keys)s::bigint[])
), places AS (
    SELECT
        id,
        CASE weight
            WHEN 0 THEN -shard
            ELSE first - floor(number * %(normal)s / (weight * batches))::integer
        END AS priority
    FROM waiting CROSS JOIN others
)
UPDATE procrastinate_jobs AS jobs SET priority = places.priority, scheduled_at = NULL
FROM places
WHERE jobs.id = places.id AND jobs.priority IS DISTINCT FROM places.priority
RETURNING jobs.id

-- reorder --
-- Let the waiting jobs of some batches exchange their priorities within each workspace, so that the next jobs of its
-- batches are as their weights; those with the largest weight are available at once
WITH contenders AS (
    SELECT *, max(weight) OVER (PARTITION BY workspace) AS largest
    FROM unnest(%(batch_keys)s::bigint[], %(workspaces)s::text[], %(weights)s::integer[])
        AS contender (batch_key, workspace, weight)
), waiting AS (
    SELECT jobs.id, jobs.priority, jobs.scheduled_at, contenders.*, shards.shard
    FROM contenders
    JOIN shards ON shards.batch_key = contenders.batch_key AND NOT shards.done
    JOIN procrastinate_jobs AS jobs
        ON jobs.status = 'todo' AND jobs.queueing_lock = shards.batch_key || '/' || shards.shard AND jobs.priority <= 0
    ORDER BY jobs.id
    FOR UPDATE OF jobs
), places AS (
    SELECT workspace, priority, row_number() OVER (PARTITION BY workspace ORDER BY priority DESC, id) AS place
    FROM waiting
), turns AS (
    SELECT
        id, workspace, CASE WHEN weight < largest THEN scheduled_at END AS scheduled_at,
        row_number() OVER (PARTITION BY workspace ORDER BY number::double precision / weight, weight DESC, id) AS place
    FROM (SELECT *, row_number() OVER (PARTITION BY batch_key ORDER BY shard) - 1 AS number FROM waiting) AS numbered
)
UPDATE procrastinate_jobs AS jobs SET priority = places.priority, scheduled_at = turns.scheduled_at
FROM turns JOIN places USING (workspace, place)
WHERE jobs.id = turns.id
    AND (jobs.priority, jobs.scheduled_at) IS DISTINCT FROM (places.priority, turns.scheduled_at)
RETURNING jobs.id

-- listen --
-- Receive notifications of jobs that are deferred or requeued
LISTEN "procrastinate_queue_v1#shards"
