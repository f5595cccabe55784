-- name: save_task
INSERT INTO provider_tasks (batch_key, seq, account, task_id, created_at)
SELECT :batch_key, :seq, :account, :task_id, :created_at FROM shards
WHERE batch_key = :batch_key AND shard = :shard AND epoch = :epoch AND done = 0
ON CONFLICT (batch_key, seq)
DO UPDATE SET account = excluded.account, task_id = excluded.task_id, created_at = excluded.created_at

-- name: tasks_of_shard
SELECT * FROM provider_tasks WHERE batch_key = :batch_key AND seq BETWEEN :first_seq AND :last_seq

-- name: stopped_tasks
SELECT provider_tasks.* FROM provider_tasks JOIN batches ON batches.key = provider_tasks.batch_key
WHERE batches.status != 'in_progress' OR batches.expires_at <= :now
ORDER BY provider_tasks.created_at LIMIT :limit

-- name: forget_task
DELETE FROM provider_tasks WHERE batch_key = :batch_key AND seq = :seq AND task_id = :task_id

-- name: end_task
DELETE FROM provider_tasks WHERE batch_key = :batch_key AND seq = :seq
