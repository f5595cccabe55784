-- Statements beside those of Procrastinate, in its format and read by its parser. A job is finished and given back by
-- who holds it alone: one that was taken for dead must not end the job of the worker that took it over.

-- beat --
-- Be seen; no row if this worker was taken for dead
SELECT procrastinate_update_heartbeat_v1(worker.id)
FROM (SELECT id FROM procrastinate_workers WHERE id = %(worker_id)s FOR UPDATE) AS worker

-- give_back_of_nobody --
-- Put the jobs back that are held by no worker, and say of which batches they are
SELECT
    batches.id AS batch, batches.workspace, procrastinate_retry_job_v2(job.id, NULL, NULL, NULL, NULL),
    pg_notify('procrastinate_queue_v1#' || %(queue)s, '{"type": "job_inserted", "job_id": 0}')
FROM (
    SELECT id, args FROM procrastinate_jobs
    WHERE status = 'doing' AND queue_name = %(queue)s AND worker_id IS NULL
    FOR UPDATE SKIP LOCKED
) AS job
LEFT JOIN batches ON batches.key = (job.args ->> 'batch_key')::bigint

-- give_back_all --
-- Put all jobs back that this worker holds
SELECT
    job.id, procrastinate_retry_job_v2(job.id, NULL, NULL, NULL, NULL),
    pg_notify('procrastinate_queue_v1#' || %(queue)s, '{"type": "job_inserted", "job_id": 0}')
FROM (
    SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %(worker_id)s FOR UPDATE
) AS job

-- give_back --
-- Put some jobs back that this worker holds, each to rest for some seconds
SELECT
    job.id, procrastinate_retry_job_v2(job.id, job.rested_at, NULL, NULL, NULL),
    CASE WHEN job.rested_at IS NULL
        THEN pg_notify('procrastinate_queue_v1#' || %(queue)s, '{"type": "job_inserted", "job_id": 0}')
    END
FROM (
    SELECT jobs.id, CASE WHEN given.rest > 0 THEN clock_timestamp() + make_interval(secs => given.rest) END AS rested_at
    FROM unnest(%(ids)s::bigint[], %(rests)s::double precision[]) AS given (id, rest)
    JOIN procrastinate_jobs AS jobs ON jobs.id = given.id
    WHERE jobs.status = 'doing' AND jobs.worker_id = %(worker_id)s
    FOR UPDATE OF jobs
) AS job

-- finish --
-- Take away some jobs that this worker holds
SELECT job.id, procrastinate_finish_job_v1(job.id, 'succeeded', true)
FROM (
    SELECT id FROM procrastinate_jobs
    WHERE id = ANY (%(ids)s::bigint[]) AND status = 'doing' AND worker_id = %(worker_id)s
    FOR UPDATE
) AS job

-- restore --
-- Defer a job for every shard that is not done and has none
SELECT procrastinate_defer_jobs_v1(ARRAY(
    SELECT ROW(
        %(queue)s, %(task)s, -shard, NULL, batch_key || '/' || shard,
        jsonb_build_object('batch_key', batch_key, 'shard', shard), NULL
    )::procrastinate_job_to_defer_v1
    FROM shards
    WHERE NOT done AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS jobs
        WHERE jobs.queue_name = %(queue)s AND jobs.status IN ('todo', 'doing')
            AND jobs.queueing_lock = shards.batch_key || '/' || shards.shard
    )
    ORDER BY shard, batch_key
))

-- hurry --
-- Put the jobs of some batches before all others
UPDATE procrastinate_jobs AS jobs SET priority = %(before_all)s - shards.shard
FROM shards
WHERE shards.batch_key = ANY (%(batch_keys)s::bigint[]) AND NOT shards.done
    AND jobs.status = 'todo' AND jobs.queueing_lock = shards.batch_key || '/' || shards.shard AND jobs.priority <= 0
RETURNING jobs.id

-- listen --
-- Hear of jobs that are deferred or given back
LISTEN "procrastinate_queue_v1#shards"
