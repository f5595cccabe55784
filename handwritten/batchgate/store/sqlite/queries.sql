-- name: insert_batch
INSERT INTO batches (
    id, workspace, dialect, terms, provider, providers, headers, status, total, open_shards, created_at, expires_at,
    in_progress_at, caller, fingerprint, idempotency_key, input_blob, input_size, model, awaits_plan, name,
    parent, input_hash, fail_fast, budget, priority, concurrency
)
VALUES (
    :id, :workspace, :dialect, :terms, :provider, :providers, :headers,
    iif(:input_blob IS NULL, 'validating', 'in_progress'), :total, :open_shards, :created_at, :expires_at,
    iif(:input_blob IS NULL, NULL, :created_at), :caller, :fingerprint, :idempotency_key, :input_blob, :input_size,
    :model, :awaits_plan, :name, :parent, :input_hash, :fail_fast, :budget, :priority, :concurrency
)
RETURNING *

-- name: insert_provider
INSERT OR IGNORE INTO batch_providers (workspace, provider, batch_key) VALUES (:workspace, :provider, :batch_key)

-- name: find_validating
SELECT workspace FROM batches WHERE key = :batch_key AND status = 'validating'

-- name: start_batch
UPDATE batches
SET status = 'in_progress', in_progress_at = :now, total = :total, open_shards = :open_shards,
    providers = :providers, input_blob = :input_blob, input_size = :input_size, model = :model,
    input_hash = :input_hash
WHERE key = :batch_key
RETURNING *

-- name: fail_batch
UPDATE batches SET status = 'failed', ended_at = :now, first_faults = :first_faults, pause = NULL
WHERE key = :batch_key AND status = 'validating'
RETURNING *

-- name: insert_faults
INSERT INTO faults (batch_key, failed_at, faults) VALUES (:batch_key, :now, :faults)

-- name: find_faults
SELECT faults FROM faults WHERE batch_key = :batch_key

-- name: drop_faults
DELETE FROM faults WHERE batch_key = :batch_key

-- name: drop_native_jobs
DELETE FROM native_jobs WHERE batch_key = :batch_key

-- name: drop_lanes
DELETE FROM batch_lanes WHERE batch_key = :batch_key

-- name: drop_old_faults
DELETE FROM faults WHERE failed_at <= :failed_before

-- name: validating_batches
SELECT key FROM batches WHERE ended_at IS NULL AND status = 'validating' ORDER BY +key

-- name: find_by_idempotency_key
SELECT * FROM batches WHERE workspace = :workspace AND idempotency_key = :idempotency_key

-- name: find_by_fingerprint
SELECT * FROM batches
WHERE fingerprint = :fingerprint AND created_at >= :deduplicate_since AND workspace = :workspace AND caller = :caller
    AND deleted_at IS NULL
ORDER BY key LIMIT 1

-- name: insert_shard
INSERT INTO shards (batch_key, shard, first_seq, requests, byte_offset, byte_length, checksum, held)
VALUES (:batch_key, :shard, :first_seq, :requests, :byte_offset, :byte_length, :checksum, :held)

-- name: find_batch
SELECT * FROM batches WHERE id = :id AND workspace = :workspace AND deleted_at IS NULL

-- name: find_batch_cursor
SELECT key FROM batches WHERE id = :id AND workspace = :workspace

-- name: find_batch_by_key
SELECT * FROM batches WHERE key = :key

-- name: list_older
SELECT * FROM batches
WHERE workspace = :workspace AND deleted_at IS NULL AND key < :older_than AND key > :newer_than
ORDER BY key DESC LIMIT :limit

-- name: list_newer
SELECT * FROM batches
WHERE workspace = :workspace AND deleted_at IS NULL AND key > :newer_than
ORDER BY key ASC LIMIT :limit

-- name: list_older_of_provider
SELECT batches.* FROM batch_providers AS named JOIN batches ON batches.key = named.batch_key
WHERE named.workspace = :workspace AND named.provider = :provider AND batches.deleted_at IS NULL
    AND named.batch_key < :older_than AND named.batch_key > :newer_than
ORDER BY named.batch_key DESC LIMIT :limit

-- name: list_newer_of_provider
SELECT batches.* FROM batch_providers AS named JOIN batches ON batches.key = named.batch_key
WHERE named.workspace = :workspace AND named.provider = :provider AND batches.deleted_at IS NULL
    AND named.batch_key > :newer_than
ORDER BY named.batch_key ASC LIMIT :limit

-- name: begin_cancel
UPDATE batches SET status = 'canceling', cancel_initiated_at = :now, pause = NULL
WHERE id = :id AND workspace = :workspace AND deleted_at IS NULL AND status = 'in_progress'
RETURNING key

-- name: cancel_validation
UPDATE batches SET status = 'ended', cancel_initiated_at = :now, ended_at = :now, pause = NULL
WHERE id = :id AND workspace = :workspace AND deleted_at IS NULL AND status = 'validating'
RETURNING *

-- name: close_unclaimed_shards
-- Shards that may have requests of an active job stay open.
UPDATE shards SET done = 1
WHERE batch_key = :batch_key AND claimed = 0 AND done = 0 AND held = 0 AND NOT EXISTS (
    SELECT 1 FROM native_jobs AS jobs
    WHERE jobs.batch_key = shards.batch_key AND state NOT IN ('done', 'failed', 'withdrawn')
        AND jobs.first_seq < shards.first_seq + shards.requests AND jobs.last_seq >= shards.first_seq
)

-- name: count_open_shards
UPDATE batches SET open_shards = (SELECT count(*) FROM shards WHERE batch_key = batches.key AND done = 0)
WHERE key = :batch_key

-- name: is_answered_while_paused
-- A seq takes four bytes. The counts of a running batch do not have the requests that expired in a native job.
SELECT 1 FROM batches
WHERE key = :batch_key AND status = 'in_progress' AND pause IS NOT NULL
    AND 4 * total = (SELECT sum(length(seqs)) FROM chunks WHERE batch_key = :batch_key)

-- name: end_pause
UPDATE batches SET pause = NULL WHERE key = :batch_key AND pause IS NOT NULL

-- name: drop_timeline
DELETE FROM batch_timeline WHERE batch_key = :batch_key

-- name: delete_batch
UPDATE batches SET deleted_at = :now, idempotency_key = NULL, first_faults = NULL
WHERE id = :id AND workspace = :workspace AND deleted_at IS NULL AND ended_at IS NOT NULL

-- name: drop_providers
DELETE FROM batch_providers WHERE workspace = :workspace AND batch_key = :batch_key AND provider = :provider

-- name: delete_files_of_batch
UPDATE files SET deleted_at = :now WHERE batch_id = :id AND deleted_at IS NULL

-- name: expire_outputs
UPDATE files SET expires_at = :now WHERE output_of = :batch_key AND deleted_at IS NULL

-- name: has_files
SELECT 1 FROM files WHERE batch_id = :id AND deleted_at IS NULL

-- name: release_claims
UPDATE shards SET claimed = 0, held = (SELECT awaits_plan FROM batches WHERE key = batch_key)
WHERE claimed = 1 AND done = 0

-- name: release_shard
UPDATE shards SET claimed = 0, held = (SELECT awaits_plan FROM batches WHERE key = :batch_key)
WHERE batch_key = :batch_key AND shard = :shard AND epoch = :epoch AND claimed = 1 AND done = 0

-- name: claim_shard
-- Of a batch that is paused or awaits its plan, the claim of an earlier process is ended, and none begins.
UPDATE shards
SET epoch = epoch + 1,
    claimed = (SELECT pause IS NULL AND awaits_plan = 0 FROM batches WHERE key = :batch_key),
    held = (SELECT awaits_plan FROM batches WHERE key = :batch_key)
WHERE batch_key = :batch_key AND shard = :shard AND done = 0 AND held = 0
RETURNING *

-- name: active_jobs_of_shard
-- The first and the last seq only bound the requests of a job: it may have none of the shard.
SELECT jobs.seqs FROM shards JOIN native_jobs AS jobs ON jobs.batch_key = shards.batch_key
WHERE shards.batch_key = :batch_key AND shards.shard = :shard
    AND jobs.state NOT IN ('done', 'failed', 'withdrawn')
    AND jobs.first_seq < shards.first_seq + shards.requests AND jobs.last_seq >= shards.first_seq

-- name: finished_seqs
SELECT seqs FROM chunks WHERE batch_key = :batch_key AND shard = :shard

-- name: fence_shard
UPDATE shards SET done = :done
WHERE batch_key = :batch_key AND shard = :shard AND epoch = :epoch AND done = 0

-- name: insert_chunk
INSERT INTO chunks (batch_key, shard, number, seqs, lines, succeeded, errored)
SELECT :batch_key, :shard, count(*), :seqs, :lines, :succeeded, :errored
FROM chunks WHERE batch_key = :batch_key AND shard = :shard

-- name: calls_of_batch
SELECT pace, pause, retried_calls FROM batches WHERE key = :batch_key

-- name: count_results
UPDATE batches
SET succeeded = succeeded + :succeeded, errored = errored + :errored, repeated = repeated + :repeated,
    reused = reused + :reused,
    input_tokens = input_tokens + :input_tokens, cached_tokens = cached_tokens + :cached_tokens,
    output_tokens = output_tokens + :output_tokens, reasoning_tokens = reasoning_tokens + :reasoning_tokens,
    cache_write_tokens = cache_write_tokens + :cache_write_tokens,
    long_cache_write_tokens = long_cache_write_tokens + :long_cache_write_tokens,
    cost = cost + :cost, native_cost = native_cost + :native_cost, saved = saved + :saved,
    unpriced = unpriced + :unpriced, pace = coalesce(:pace, pace),
    retried_calls = coalesce(:retried_calls, retried_calls),
    open_shards = open_shards - :shards_done
WHERE key = :batch_key
RETURNING *

-- name: unfinished_jobs
SELECT batch_key, shard FROM shards JOIN batches ON key = batch_key
WHERE done = 0 AND held = 0 AND pause IS NULL ORDER BY shard, batch_key

-- name: finalizable_batches
SELECT key FROM batches WHERE ended_at IS NULL AND open_shards = 0 AND status <> 'validating'

-- name: overdue_batches
SELECT key FROM batches WHERE ended_at IS NULL AND expires_at <= :now AND status <> 'validating'

-- name: next_due
SELECT min(due) FROM (
    SELECT min(expires_at) AS due FROM batches WHERE ended_at IS NULL AND expires_at > :now
    UNION ALL
    SELECT min(created_at) + :retention FROM batches
    WHERE results_blob IS NOT NULL AND output_file IS NULL AND error_file IS NULL AND deleted_at IS NULL
    UNION ALL
    SELECT min(expires_at) FROM files WHERE deleted_at IS NULL AND expires_at > :now
)

-- name: shards_of_batch
SELECT * FROM shards WHERE batch_key = :batch_key ORDER BY shard

-- name: shard_of_request
SELECT * FROM shards WHERE batch_key = :batch_key AND first_seq + requests > :seq ORDER BY shard LIMIT 1

-- name: chunks_of_shard
SELECT seqs, lines, succeeded, errored FROM chunks WHERE batch_key = :batch_key AND shard = :shard ORDER BY number

-- name: list_chunks
SELECT number AS id, seqs, length(lines) AS size FROM chunks
WHERE batch_key = :batch_key AND shard = :shard ORDER BY number

-- name: slice_of_chunk
SELECT substr(lines, :start + 1, :length) AS part FROM chunks
WHERE batch_key = :batch_key AND shard = :shard AND number = :chunk

-- name: end_batch
UPDATE batches
SET status = 'ended', succeeded = :succeeded, errored = :errored, canceled = :canceled, expired = :expired,
    results_blob = :results_blob, results_size = :results_size, results_sha256 = :results_sha256,
    output_size = :output_size, output_file = :output_file, error_file = :error_file, ended_at = :now,
    pause = NULL, pace = NULL
WHERE key = :batch_key AND ended_at IS NULL
RETURNING *

-- name: add_orphan_blob
INSERT OR IGNORE INTO loose_blobs (name) VALUES (:name)

-- name: list_orphan_blobs
SELECT name FROM loose_blobs ORDER BY name

-- name: is_orphan
SELECT 1 FROM loose_blobs WHERE name = :name

-- name: owns_blob
SELECT 1 FROM batches WHERE id = :owner AND deleted_at IS NULL AND :name IN (input_blob, results_blob)
UNION ALL
SELECT 1 FROM files WHERE id = :owner AND deleted_at IS NULL AND blob = :name

-- name: forget_orphan_blob
DELETE FROM loose_blobs WHERE name = :name

-- name: drop_chunks
DELETE FROM chunks WHERE rowid IN (SELECT rowid FROM chunks WHERE batch_key = :batch_key LIMIT :limit)

-- name: ended_with_chunks
SELECT DISTINCT chunks.batch_key FROM chunks JOIN batches ON batches.key = chunks.batch_key
WHERE batches.ended_at IS NOT NULL

-- name: drop_shards
DELETE FROM shards WHERE batch_key = :batch_key

-- name: archivable_batches
SELECT * FROM batches
WHERE results_blob IS NOT NULL AND output_file IS NULL AND error_file IS NULL AND deleted_at IS NULL
    AND created_at <= :created_before
ORDER BY created_at LIMIT 100

-- name: archive_batch
UPDATE batches
SET archived_at = :now, input_blob = NULL, results_blob = NULL, results_size = NULL, results_sha256 = NULL,
    output_size = NULL
WHERE key = :batch_key AND archived_at IS NULL AND deleted_at IS NULL

-- name: open_batches
SELECT workspace, status, count(*) AS number FROM batches WHERE ended_at IS NULL GROUP BY workspace, status

-- name: active_native_jobs
SELECT account, state, count(*) AS number FROM native_jobs
WHERE state NOT IN ('done', 'failed', 'withdrawn') GROUP BY account, state

-- name: waiting_shards
SELECT number, created_at AS since
FROM (
    SELECT count(*) AS number, min(batch_key) AS oldest FROM shards
    WHERE done = 0 AND claimed = 0 AND held = 0
        AND batch_key NOT IN (SELECT key FROM batches WHERE ended_at IS NULL AND pause IS NOT NULL)
)
LEFT JOIN batches ON key = oldest

-- name: insert_file
INSERT INTO files (
    id, workspace, provider, purpose, filename, size, sha256, created_at, expires_at, blob, batch_id, part,
    mime_type, output_of
)
VALUES (
    :id, :workspace, :provider, :purpose, :filename, :size, :sha256, :created_at, :expires_at, :blob, :batch_id, :part,
    :mime_type, :output_of
)
RETURNING *

-- name: find_file
SELECT * FROM files
WHERE id = :id AND workspace = :workspace AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)

-- name: find_file_cursor
SELECT key FROM files WHERE id = :id AND workspace = :workspace

-- name: list_files_newest_first
SELECT * FROM files
WHERE workspace = :workspace AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
    AND key < :after AND (:purpose IS NULL OR purpose = :purpose)
    AND (:provider IS NULL OR provider = :provider OR EXISTS (
        SELECT 1 FROM batches JOIN batch_providers AS named ON named.batch_key = batches.key
        WHERE batches.id = files.batch_id AND named.workspace = :workspace AND named.provider = :provider
    ))
ORDER BY key DESC LIMIT :limit

-- name: list_files_oldest_first
SELECT * FROM files
WHERE workspace = :workspace AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
    AND key > :after AND (:purpose IS NULL OR purpose = :purpose)
    AND (:provider IS NULL OR provider = :provider OR EXISTS (
        SELECT 1 FROM batches JOIN batch_providers AS named ON named.batch_key = batches.key
        WHERE batches.id = files.batch_id AND named.workspace = :workspace AND named.provider = :provider
    ))
ORDER BY key ASC LIMIT :limit

-- name: delete_file
UPDATE files SET deleted_at = :now
WHERE id = :id AND workspace = :workspace AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
RETURNING *

-- name: expire_files
UPDATE files SET deleted_at = :now
WHERE key IN (SELECT key FROM files WHERE deleted_at IS NULL AND expires_at <= :now ORDER BY expires_at LIMIT 1000)
RETURNING *

-- name: put_secret
INSERT INTO secrets (name, ciphertext, created_at, updated_at) VALUES (:name, :ciphertext, :now, :now)
ON CONFLICT (name) DO UPDATE SET ciphertext = excluded.ciphertext, updated_at = excluded.updated_at
RETURNING *

-- name: find_secret
SELECT * FROM secrets WHERE name = :name

-- name: list_secrets
SELECT * FROM secrets ORDER BY name

-- name: delete_secret
DELETE FROM secrets WHERE name = :name RETURNING name

-- name: reencrypt_secret
UPDATE secrets SET ciphertext = :new WHERE name = :name AND ciphertext = :old RETURNING name

-- name: reencrypt_webhook
UPDATE webhooks
SET secret = CASE secret WHEN :old THEN :new ELSE secret END,
    previous_secret = CASE previous_secret WHEN :old THEN :new ELSE previous_secret END
WHERE 'webhook:' || id = :name AND :old IN (secret, previous_secret)
RETURNING key

-- name: list_ciphertexts
SELECT name, ciphertext FROM secrets
UNION ALL
SELECT 'webhook:' || id, secret FROM webhooks
UNION ALL
SELECT 'webhook:' || id, previous_secret FROM webhooks WHERE previous_secret IS NOT NULL
