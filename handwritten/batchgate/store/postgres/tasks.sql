-- name: save_task
INSERT INTO provider_tasks (batch_key, seq, account, task_id, created_at)
SELECT %(batch_key)s, %(seq)s, %(account)s, %(task_id)s, %(created_at)s FROM shards
WHERE batch_key = %(batch_key)s AND shard = %(shard)s AND epoch = %(epoch)s AND NOT done
FOR SHARE
ON CONFLICT (batch_key, seq)
DO UPDATE SET account = excluded.account, task_id = excluded.task_id, created_at = excluded.created_at
RETURNING seq

-- name: tasks_of_shard
SELECT * FROM provider_tasks WHERE batch_key = %(batch_key)s AND seq BETWEEN %(first_seq)s AND %(last_seq)s

-- name: stopped_tasks
SELECT provider_tasks.* FROM provider_tasks JOIN batches ON batches.key = provider_tasks.batch_key
WHERE batches.status <> 'in_progress' OR batches.expires_at <= %(now)s
ORDER BY provider_tasks.created_at LIMIT %(limit)s

-- name: forget_task
DELETE FROM provider_tasks WHERE batch_key = %(batch_key)s AND seq = %(seq)s AND task_id = %(task_id)s

-- name: end_tasks
DELETE FROM provider_tasks WHERE batch_key = %(batch_key)s AND seq = ANY (%(seqs)s)
