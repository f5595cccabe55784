-- name: unplanned_batches
SELECT key FROM batches
WHERE ended_at IS NULL AND awaits_plan = 1 AND status IN ('in_progress', 'canceling')
ORDER BY +key

-- name: awaits_plan
SELECT 1 FROM batches WHERE key = :batch_key AND awaits_plan = 1 AND ended_at IS NULL

-- name: find_unplanned
SELECT * FROM batches
WHERE key = :batch_key AND ended_at IS NULL AND awaits_plan = 1 AND status IN ('in_progress', 'canceling')
    AND NOT EXISTS (SELECT 1 FROM shards WHERE batch_key = :batch_key AND done = 0 AND held = 0)

-- name: end_planning
UPDATE batches SET awaits_plan = 0
WHERE key = :batch_key AND awaits_plan = 1 AND lane_changes = :lane_changes AND status IN ('in_progress', 'canceling')
RETURNING status

-- name: insert_job
INSERT INTO native_jobs (
    batch_key, token, account, model, kind, seqs, first_seq, last_seq, requests, tokens, state, epoch, credential,
    upstream_file, upstream_id, upstream_status, creating_at, created_at, submitted_at, ended_at, cancel_requested_at,
    sent, uploads, cleaned, refusals, answered, reason, account_missed_at, paid_twice,
    replans
)
VALUES (
    :batch_key, :token, :account, :model, :kind, :seqs, :first_seq, :last_seq, :requests, :tokens, :state, :epoch,
    :credential, :upstream_file, :upstream_id, :upstream_status, :creating_at, :created_at, :submitted_at, :ended_at,
    :cancel_requested_at, :sent, :uploads, :cleaned, :refusals, :answered, :reason,
    :account_missed_at, :paid_twice, :replans
)

-- name: insert_lanes
INSERT INTO batch_lanes (batch_key, lanes) VALUES (:batch_key, :lanes)
ON CONFLICT (batch_key) DO UPDATE SET lanes = excluded.lanes

-- name: lanes_of_batch
SELECT lanes FROM batch_lanes WHERE batch_key = :batch_key

-- name: has_new_jobs
SELECT 1 FROM native_jobs WHERE state NOT IN ('done', 'failed', 'withdrawn') AND epoch = 0 LIMIT 1

-- name: take_jobs
UPDATE native_jobs SET epoch = epoch + 1
WHERE state NOT IN ('done', 'failed', 'withdrawn') AND (epoch = 0 OR NOT :new_only) RETURNING *

-- name: jobs_of_batch
SELECT * FROM native_jobs WHERE batch_key = :batch_key ORDER BY key

-- name: active_jobs_of_batches
SELECT * FROM native_jobs
WHERE batch_key IN (SELECT value FROM json_each(:batch_keys)) AND state NOT IN ('done', 'failed', 'withdrawn')
ORDER BY key

-- name: set_paid_twice
UPDATE native_jobs SET paid_twice = :paid_twice WHERE key = :key AND paid_twice IS NULL

-- name: count_late_answers
UPDATE batches
SET paid_twice = paid_twice + :paid_twice, cost = cost + :cost, native_cost = native_cost + :native_cost,
    saved = saved + :saved, unpriced = unpriced + :unpriced
WHERE key = :batch_key
RETURNING key, workspace, caller, ended_at

-- name: find_held_job
SELECT * FROM native_jobs WHERE key = :key AND epoch = :epoch

-- name: save_job
UPDATE native_jobs
SET seqs = :seqs, first_seq = :first_seq, last_seq = :last_seq, requests = :requests,
    sent = :sent, uploads = :uploads, account_missed_at = :account_missed_at, cleaned = :cleaned,
    state = :state, credential = :credential, upstream_file = :upstream_file,
    upstream_id = :upstream_id, upstream_status = :upstream_status, creating_at = :creating_at, submitted_at = :submitted_at, ended_at = :ended_at,
    cancel_requested_at = :cancel_requested_at, refusals = :refusals, answered = :answered, reason = :reason,
    replans = :replans
WHERE key = :key AND epoch = :epoch AND state NOT IN ('done', 'failed', 'withdrawn')

-- name: known_upstream_ids
SELECT upstream_id FROM native_jobs WHERE upstream_id IN (SELECT value FROM json_each(:ids))

-- name: uncleaned_jobs
SELECT * FROM native_jobs
WHERE cleaned = 0 AND state IN ('done', 'failed', 'withdrawn') AND ended_at > :ended_after ORDER BY key

-- name: mark_cleaned
UPDATE native_jobs SET cleaned = 1, upstream_id = :upstream_id WHERE key = :key

-- name: finished_between
SELECT chunks.seqs FROM shards
JOIN chunks ON chunks.batch_key = shards.batch_key AND chunks.shard = shards.shard
WHERE shards.batch_key = :batch_key
    AND shards.first_seq <= :last_seq AND shards.first_seq + shards.requests > :first_seq

-- name: find_claimed_shard
SELECT * FROM shards WHERE batch_key = :batch_key AND shard = :shard AND epoch = :epoch AND done = 0

-- name: find_open_shard
SELECT 1 FROM shards WHERE batch_key = :batch_key AND shard = :shard AND done = 0

-- name: hold_shard
UPDATE shards SET claimed = 0, held = :held WHERE batch_key = :batch_key AND shard = :shard

-- name: held_shards
SELECT shard, first_seq, requests FROM shards WHERE batch_key = :batch_key AND held = 1 ORDER BY shard

-- name: release_held_shard
UPDATE shards SET held = 0 WHERE batch_key = :batch_key AND shard = :shard
