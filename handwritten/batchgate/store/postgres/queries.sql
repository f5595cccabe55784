-- name: configure
SELECT
    set_config('idle_in_transaction_session_timeout', '10s', false),
    set_config('lock_timeout', %(lock_timeout)s, false),
    CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END

-- name: time
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now

-- name: lock_create
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: lock_workspace_order
SELECT pg_advisory_xact_lock(hashtextextended(%(workspace)s, 0))

-- name: insert_batch
INSERT INTO batches (
    id, workspace, dialect, terms, provider, providers, headers, status, total, open_shards, created_at, expires_at,
    in_progress_at, caller, fingerprint, idempotency_key, input_blob, input_size, model, awaits_plan, name,
    parent, input_hash, fail_fast, budget, priority, concurrency
)
VALUES (
    %(id)s, %(workspace)s, %(dialect)s, %(terms)s, %(provider)s, %(providers)s, %(headers)s,
    CASE WHEN %(input_blob)s::text IS NULL THEN 'validating' ELSE 'in_progress' END, %(total)s, %(open_shards)s,
    %(created_at)s, %(expires_at)s, CASE WHEN %(input_blob)s::text IS NOT NULL THEN %(created_at)s::bigint END,
    %(caller)s, %(fingerprint)s, %(idempotency_key)s, %(input_blob)s, %(input_size)s, %(model)s,
    %(awaits_plan)s, %(name)s, %(parent)s, %(input_hash)s, %(fail_fast)s, %(budget)s, %(priority)s,
    %(concurrency)s
)
RETURNING *

-- name: insert_providers
INSERT INTO batch_providers (workspace, provider, batch_key)
SELECT %(workspace)s, provider, %(batch_key)s FROM unnest(%(providers)s::text[]) AS provider
ON CONFLICT DO NOTHING

-- name: lock_validating
SELECT workspace FROM batches WHERE key = %(batch_key)s AND status = 'validating' FOR NO KEY UPDATE

-- name: start_batch
UPDATE batches
SET status = 'in_progress', in_progress_at = %(now)s, total = %(total)s, open_shards = %(open_shards)s,
    providers = %(providers)s, input_blob = %(input_blob)s, input_size = %(input_size)s, model = %(model)s,
    input_hash = %(input_hash)s
WHERE key = %(batch_key)s
RETURNING *

-- name: fail_batch
UPDATE batches SET status = 'failed', ended_at = %(now)s, first_faults = %(first_faults)s, pause = NULL
WHERE key = %(batch_key)s AND status = 'validating'
RETURNING *

-- name: insert_faults
INSERT INTO faults (batch_key, failed_at, faults) VALUES (%(batch_key)s, %(now)s, %(faults)s)

-- name: find_faults
SELECT faults FROM faults WHERE batch_key = %(batch_key)s

-- name: drop_faults
DELETE FROM faults WHERE batch_key = %(batch_key)s

-- name: drop_native_jobs
WITH locked AS (SELECT key FROM native_jobs WHERE batch_key = %(batch_key)s ORDER BY key FOR UPDATE)
DELETE FROM native_jobs USING locked WHERE native_jobs.key = locked.key

-- name: drop_lanes
DELETE FROM batch_lanes WHERE batch_key = %(batch_key)s

-- name: drop_old_faults
DELETE FROM faults WHERE failed_at <= %(failed_before)s

-- name: validating_batches
SELECT key FROM batches WHERE ended_at IS NULL AND status = 'validating' ORDER BY key

-- name: find_by_idempotency_key
SELECT * FROM batches WHERE workspace = %(workspace)s AND idempotency_key = %(idempotency_key)s

-- name: find_by_fingerprint
SELECT * FROM batches
WHERE fingerprint = %(fingerprint)s AND created_at >= %(deduplicate_since)s AND workspace = %(workspace)s
    AND caller = %(caller)s AND deleted_at IS NULL
ORDER BY key LIMIT 1

-- name: insert_shards
INSERT INTO shards (batch_key, shard, first_seq, requests, byte_offset, byte_length, checksum, held)
SELECT %(batch_key)s, *, %(held)s::boolean
FROM unnest(
    %(shard)s::bigint[], %(first_seq)s::bigint[], %(requests)s::bigint[], %(byte_offset)s::bigint[],
    %(byte_length)s::bigint[], %(checksum)s::bigint[]
)

-- name: defer_jobs
-- The shards of a paused batch get jobs when it is resumed.
SELECT procrastinate_defer_jobs_v1(ARRAY(
    SELECT ROW(
        'shards', 'run_shard', -shard, NULL, %(batch_key)s::bigint || '/' || shard,
        jsonb_build_object('batch_key', %(batch_key)s::bigint, 'shard', shard), NULL
    )::procrastinate_job_to_defer_v1
    FROM unnest(%(shard)s::bigint[]) AS shard
    WHERE EXISTS (SELECT 1 FROM batches WHERE key = %(batch_key)s::bigint AND pause IS NULL)
))

-- name: notify
SELECT pg_notify('batchgate', json_build_object('event', %(event)s::text, 'batch', %(batch_key)s::bigint)::text)

-- name: find_batch
SELECT * FROM batches WHERE id = %(id)s AND workspace = %(workspace)s AND deleted_at IS NULL

-- name: lock_batch
SELECT * FROM batches WHERE id = %(id)s AND workspace = %(workspace)s AND deleted_at IS NULL FOR NO KEY UPDATE

-- name: lock_batch_by_key
SELECT *, EXISTS (SELECT 1 FROM monthly_budgets) AS has_monthly_budgets
FROM batches WHERE key = %(batch_key)s FOR NO KEY UPDATE

-- name: find_batch_cursor
SELECT key FROM batches WHERE id = %(id)s AND workspace = %(workspace)s

-- name: find_batch_by_key
SELECT * FROM batches WHERE key = %(key)s

-- name: list_older
SELECT * FROM batches
WHERE workspace = %(workspace)s AND deleted_at IS NULL AND key < %(older_than)s AND key > %(newer_than)s
ORDER BY key DESC LIMIT %(limit)s

-- name: list_newer
SELECT * FROM batches
WHERE workspace = %(workspace)s AND deleted_at IS NULL AND key > %(newer_than)s
ORDER BY key ASC LIMIT %(limit)s

-- name: list_older_of_provider
SELECT batches.* FROM batch_providers AS named JOIN batches ON batches.key = named.batch_key
WHERE named.workspace = %(workspace)s AND named.provider = %(provider)s AND batches.deleted_at IS NULL
    AND named.batch_key < %(older_than)s AND named.batch_key > %(newer_than)s
ORDER BY named.batch_key DESC LIMIT %(limit)s

-- name: list_newer_of_provider
SELECT batches.* FROM batch_providers AS named JOIN batches ON batches.key = named.batch_key
WHERE named.workspace = %(workspace)s AND named.provider = %(provider)s AND batches.deleted_at IS NULL
    AND named.batch_key > %(newer_than)s
ORDER BY named.batch_key ASC LIMIT %(limit)s

-- name: begin_cancel
UPDATE batches SET status = 'canceling', cancel_initiated_at = %(now)s, pause = NULL WHERE key = %(batch_key)s

-- name: cancel_validation
UPDATE batches SET status = 'ended', cancel_initiated_at = %(now)s, ended_at = %(now)s, pause = NULL
WHERE key = %(batch_key)s
RETURNING *

-- name: close_unclaimed_shards
-- Shards that may have requests of an active job stay open.
UPDATE shards SET done = true
WHERE batch_key = %(batch_key)s AND NOT claimed AND NOT done AND NOT held AND NOT EXISTS (
    SELECT 1 FROM native_jobs AS jobs
    WHERE jobs.batch_key = shards.batch_key AND state NOT IN ('done', 'failed', 'withdrawn')
        AND jobs.first_seq < shards.first_seq + shards.requests AND jobs.last_seq >= shards.first_seq
)

-- name: count_open_shards
UPDATE batches
SET open_shards = (SELECT count(*) FROM shards WHERE batch_key = %(batch_key)s AND NOT done)
WHERE key = %(batch_key)s
RETURNING open_shards, ended_at

-- name: is_answered_while_paused
-- A seq takes four bytes. The counts of a running batch do not have the requests that expired in a native job.
SELECT 1 FROM batches
WHERE key = %(batch_key)s AND status = 'in_progress' AND pause IS NOT NULL
    AND 4 * total = (SELECT sum(octet_length(seqs)) FROM chunks WHERE batch_key = %(batch_key)s)

-- name: end_pause
UPDATE batches SET pause = NULL WHERE key = %(batch_key)s AND pause IS NOT NULL

-- name: drop_timeline
DELETE FROM batch_timeline WHERE batch_key = %(batch_key)s

-- name: delete_batch
UPDATE batches SET deleted_at = %(now)s, idempotency_key = NULL, first_faults = NULL WHERE key = %(batch_key)s

-- name: drop_providers
DELETE FROM batch_providers WHERE workspace = %(workspace)s AND batch_key = %(batch_key)s

-- name: delete_files_of_batch
UPDATE files SET deleted_at = %(now)s WHERE batch_id = %(id)s AND deleted_at IS NULL

-- name: expire_outputs
UPDATE files SET expires_at = %(now)s WHERE output_of = %(batch_key)s AND deleted_at IS NULL

-- name: has_files
SELECT 1 FROM files WHERE batch_id = %(id)s AND deleted_at IS NULL LIMIT 1

-- name: release_shard
UPDATE shards SET claimed = false, held = (SELECT awaits_plan FROM batches WHERE key = %(batch_key)s)
WHERE batch_key = %(batch_key)s AND shard = %(shard)s AND epoch = %(epoch)s AND claimed AND NOT done

-- name: claim_shard
-- Of a batch that is paused or awaits its plan, the claim of an earlier process is ended, and none begins.
UPDATE shards
SET epoch = epoch + 1,
    claimed = (SELECT pause IS NULL AND NOT awaits_plan FROM batches WHERE key = %(batch_key)s),
    held = (SELECT awaits_plan FROM batches WHERE key = %(batch_key)s)
WHERE batch_key = %(batch_key)s AND shard = %(shard)s AND NOT done AND NOT held
RETURNING *

-- name: active_jobs_of_shard
-- The first and the last seq only bound the requests of a job: it may have none of the shard.
SELECT jobs.seqs FROM shards JOIN native_jobs AS jobs ON jobs.batch_key = shards.batch_key
WHERE shards.batch_key = %(batch_key)s AND shards.shard = %(shard)s
    AND jobs.state NOT IN ('done', 'failed', 'withdrawn')
    AND jobs.first_seq < shards.first_seq + shards.requests AND jobs.last_seq >= shards.first_seq

-- name: finished_seqs
SELECT seqs FROM chunks WHERE batch_key = %(batch_key)s AND shard = %(shard)s

-- name: sent_marks
SELECT bits FROM sent_marks WHERE batch_key = %(batch_key)s AND shard = %(shard)s

-- name: write_marks
INSERT INTO sent_marks (batch_key, shard, bits)
SELECT shards.batch_key, shards.shard, mark.bits
FROM unnest(%(batch_keys)s::bigint[], %(shards)s::bigint[], %(epochs)s::bigint[], %(bits)s::bytea[])
    AS mark (batch_key, shard, epoch, bits)
JOIN shards USING (batch_key, shard, epoch)
WHERE NOT shards.done
ORDER BY shards.batch_key, shards.shard
ON CONFLICT (batch_key, shard) DO UPDATE SET bits = excluded.bits

-- name: drop_marks
DELETE FROM sent_marks WHERE batch_key = %(batch_key)s AND shard = %(shard)s

-- name: fence_shard
UPDATE shards SET done = %(done)s, chunks = chunks + 1
WHERE batch_key = %(batch_key)s AND shard = %(shard)s AND epoch = %(epoch)s AND NOT done
RETURNING chunks AS number

-- name: store_chunk
WITH stored AS (
    INSERT INTO chunks (batch_key, shard, first_seq, number, seqs, lines, succeeded, errored)
    VALUES (
        %(batch_key)s, %(shard)s, %(first_seq)s, %(number)s, %(seqs)s, %(lines)s, %(succeeded)s, %(errored)s
    )
    ON CONFLICT (batch_key, shard, first_seq) DO NOTHING
    RETURNING batch_key
),
counted AS (
    INSERT INTO daily_usage (
        day, workspace, api_key, account, model, lane, slot, succeeded, errored, input_tokens, cached_tokens,
        output_tokens, reasoning_tokens, cost, saved, unpriced, paid_twice
    )
    SELECT
        %(day)s, %(workspace)s, %(api_key)s, used.account, used.model, %(lane)s, %(slot)s,
        used.succeeded, used.errored, used.input_tokens, used.cached_tokens, used.output_tokens,
        used.reasoning_tokens, used.cost, used.saved, used.unpriced, used.paid_twice
    FROM stored, unnest(
        %(used_accounts)s::text[], %(used_models)s::text[],
        %(used_succeeded)s::bigint[], %(used_errored)s::bigint[], %(used_input_tokens)s::bigint[],
        %(used_cached_tokens)s::bigint[], %(used_output_tokens)s::bigint[], %(used_reasoning_tokens)s::bigint[],
        %(used_cost)s::bigint[], %(used_saved)s::bigint[], %(used_unpriced)s::bigint[],
        %(used_paid_twice)s::bigint[]
    ) AS used (
        account, model, succeeded, errored, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost,
        saved, unpriced, paid_twice
    )
    ORDER BY used.account, used.model
    ON CONFLICT (day, workspace, api_key, account, model, lane, slot) DO UPDATE SET
        succeeded = daily_usage.succeeded + excluded.succeeded, errored = daily_usage.errored + excluded.errored,
        input_tokens = daily_usage.input_tokens + excluded.input_tokens,
        cached_tokens = daily_usage.cached_tokens + excluded.cached_tokens,
        output_tokens = daily_usage.output_tokens + excluded.output_tokens,
        reasoning_tokens = daily_usage.reasoning_tokens + excluded.reasoning_tokens,
        cost = daily_usage.cost + excluded.cost, saved = daily_usage.saved + excluded.saved,
        unpriced = daily_usage.unpriced + excluded.unpriced,
        paid_twice = daily_usage.paid_twice + excluded.paid_twice
    RETURNING 1
),
spenders AS (
    -- The count lets the rows of the usage be locked before.
    SELECT budgets.kind, budgets.workspace, budgets.name, given.cost
    FROM stored CROSS JOIN (SELECT count(*) FROM counted) AS after_usage
    CROSS JOIN unnest(
        %(spender_kinds)s::text[], %(spender_workspaces)s::text[], %(spender_names)s::text[],
        %(spender_costs)s::bigint[]
    ) AS given (kind, workspace, name, cost)
    JOIN monthly_budgets AS budgets USING (kind, workspace, name)
    ORDER BY budgets.kind, budgets.workspace, budgets.name
    FOR UPDATE OF budgets
),
charged AS (
    UPDATE monthly_budgets AS budgets
    SET spent = CASE
            WHEN budgets.month = %(month)s THEN budgets.spent + spenders.cost
            WHEN budgets.month < %(month)s THEN spenders.cost
            ELSE budgets.spent
        END,
        month = greatest(budgets.month, %(month)s)
    FROM spenders
    WHERE budgets.kind = spenders.kind AND budgets.workspace = spenders.workspace AND budgets.name = spenders.name
),
timed AS (
    INSERT INTO batch_series (batch_key, at, succeeded, failed, cost, calls, duration, longest, call_limit)
    SELECT
        stored.batch_key, %(at)s, %(succeeded)s, %(failed)s, %(period_cost)s, %(calls)s, %(duration)s, %(longest)s,
        %(call_limit)s
    FROM stored
    ON CONFLICT (batch_key, at) DO UPDATE SET
        succeeded = batch_series.succeeded + excluded.succeeded, failed = batch_series.failed + excluded.failed,
        cost = batch_series.cost + excluded.cost, calls = batch_series.calls + excluded.calls,
        duration = batch_series.duration + excluded.duration,
        longest = greatest(batch_series.longest, excluded.longest),
        call_limit = coalesce(excluded.call_limit, batch_series.call_limit)
)
UPDATE batches
SET succeeded = batches.succeeded + %(succeeded)s, errored = batches.errored + %(errored)s,
    repeated = repeated + %(repeated)s, reused = reused + %(reused)s, input_tokens = input_tokens + %(input_tokens)s,
    cached_tokens = cached_tokens + %(cached_tokens)s, output_tokens = output_tokens + %(output_tokens)s,
    reasoning_tokens = reasoning_tokens + %(reasoning_tokens)s,
    cache_write_tokens = cache_write_tokens + %(cache_write_tokens)s,
    long_cache_write_tokens = long_cache_write_tokens + %(long_cache_write_tokens)s,
    cost = cost + %(cost)s, native_cost = native_cost + %(native_cost)s, saved = saved + %(saved)s,
    unpriced = unpriced + %(unpriced)s, pace = coalesce(%(pace)s::text, pace),
    retried_calls = coalesce(%(retried_calls)s::text, batches.retried_calls)
FROM stored
WHERE key = stored.batch_key
RETURNING batches.*

-- name: is_chunk_stored
SELECT 1 FROM shards
WHERE batch_key = %(batch_key)s AND shard = %(shard)s AND epoch = %(epoch)s AND done
    AND (%(seqs)s = ''::bytea OR EXISTS (
        SELECT 1 FROM chunks
        WHERE batch_key = %(batch_key)s AND shard = %(shard)s AND first_seq = %(first_seq)s AND seqs = %(seqs)s
    ))

-- name: count_closed_shard
UPDATE batches SET open_shards = open_shards - 1 WHERE key = %(batch_key)s

-- name: unfinished_jobs
SELECT batch_key, shard FROM shards JOIN batches ON key = batch_key
WHERE NOT done AND NOT held AND pause IS NULL ORDER BY shard, batch_key

-- name: finalizable_batches
SELECT key FROM batches WHERE ended_at IS NULL AND open_shards = 0 AND status <> 'validating' ORDER BY key

-- name: overdue_batches
SELECT key FROM batches WHERE ended_at IS NULL AND expires_at <= %(now)s AND status <> 'validating' ORDER BY key

-- name: next_due
SELECT min(due) AS due FROM (
    SELECT min(expires_at) AS due FROM batches WHERE ended_at IS NULL AND expires_at > %(now)s
    UNION ALL
    SELECT min(created_at) + %(retention)s FROM batches
    WHERE results_blob IS NOT NULL AND output_file IS NULL AND error_file IS NULL AND deleted_at IS NULL
    UNION ALL
    SELECT min(expires_at) FROM files WHERE deleted_at IS NULL AND expires_at > %(now)s
) AS dues

-- name: shards_of_batch
SELECT * FROM shards WHERE batch_key = %(batch_key)s ORDER BY shard

-- name: shard_of_request
SELECT * FROM shards WHERE batch_key = %(batch_key)s AND first_seq + requests > %(seq)s ORDER BY shard LIMIT 1

-- name: chunks_of_shard
SELECT seqs, lines, succeeded, errored FROM chunks
WHERE batch_key = %(batch_key)s AND shard = %(shard)s
ORDER BY number

-- name: list_chunks
SELECT first_seq AS id, seqs, octet_length(lines) AS size FROM chunks
WHERE batch_key = %(batch_key)s AND shard = %(shard)s
ORDER BY number

-- name: slices_of_chunks
SELECT substring(lines FROM start + 1 FOR length) AS part
FROM unnest(%(chunks)s::bigint[], %(starts)s::integer[], %(lengths)s::integer[]) WITH ORDINALITY
    AS slices (chunk, start, length, place)
JOIN chunks ON batch_key = %(batch_key)s AND shard = %(shard)s AND first_seq = chunk
ORDER BY place

-- name: end_batch
UPDATE batches
SET status = 'ended', succeeded = %(succeeded)s, errored = %(errored)s, canceled = %(canceled)s,
    expired = %(expired)s, results_blob = %(results_blob)s, results_size = %(results_size)s,
    results_sha256 = %(results_sha256)s, output_size = %(output_size)s, output_file = %(output_file)s,
    error_file = %(error_file)s, ended_at = %(now)s, pause = NULL, pace = NULL
WHERE key = %(batch_key)s AND ended_at IS NULL
RETURNING *

-- name: add_orphan_blob
INSERT INTO loose_blobs (name, writer) VALUES (%(name)s, %(writer)s)
ON CONFLICT (name) DO UPDATE SET writer = excluded.writer

-- name: add_orphan_blobs
INSERT INTO loose_blobs (name) SELECT name FROM unnest(%(names)s::text[]) AS name ORDER BY name ON CONFLICT DO NOTHING

-- name: list_orphan_blobs
SELECT name FROM loose_blobs
WHERE writer IS NULL OR NOT EXISTS (SELECT 1 FROM members WHERE id = writer)
ORDER BY name COLLATE "C"

-- name: tombstone_blob
-- 0 is no member id. A transaction that adopts the blob locks its row; after the wait for it the row no longer exists.
UPDATE loose_blobs SET writer = 0 WHERE name = %(name)s RETURNING name

-- name: owns_blob
SELECT 1 FROM batches WHERE id = %(owner)s AND deleted_at IS NULL AND %(name)s IN (input_blob, results_blob)
UNION ALL
SELECT 1 FROM files WHERE id = %(owner)s AND deleted_at IS NULL AND blob = %(name)s

-- name: adopt_blob
DELETE FROM loose_blobs WHERE name = %(name)s AND writer IS DISTINCT FROM 0 RETURNING name

-- name: forget_orphan_blobs
WITH locked AS (SELECT name FROM loose_blobs WHERE name = ANY (%(names)s) ORDER BY name FOR UPDATE)
DELETE FROM loose_blobs USING locked WHERE loose_blobs.name = locked.name

-- name: drop_chunks
DELETE FROM chunks WHERE batch_key = %(batch_key)s AND (shard, first_seq) IN (
    SELECT shard, first_seq FROM chunks WHERE batch_key = %(batch_key)s ORDER BY shard, first_seq LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING 1

-- name: ended_with_chunks
-- One index lookup per batch with chunks, however many chunks it has.
WITH RECURSIVE holding AS (
    SELECT min(batch_key) AS batch_key FROM chunks
    UNION ALL
    SELECT (SELECT min(chunks.batch_key) FROM chunks WHERE chunks.batch_key > holding.batch_key)
    FROM holding WHERE holding.batch_key IS NOT NULL
)
SELECT batches.key FROM holding JOIN batches ON batches.key = holding.batch_key WHERE ended_at IS NOT NULL

-- name: drop_shards
DELETE FROM shards WHERE batch_key = %(batch_key)s

-- name: archivable_batches
SELECT * FROM batches
WHERE results_blob IS NOT NULL AND output_file IS NULL AND error_file IS NULL AND deleted_at IS NULL
    AND created_at <= %(created_before)s
ORDER BY created_at LIMIT 100

-- name: archive_batch
UPDATE batches
SET archived_at = %(now)s, input_blob = NULL, results_blob = NULL, results_size = NULL, results_sha256 = NULL,
    output_size = NULL
WHERE key = %(batch_key)s

-- name: open_batches
SELECT workspace, status, count(*) AS number FROM batches WHERE ended_at IS NULL GROUP BY workspace, status

-- name: active_native_jobs
SELECT account, state, count(*) AS number FROM native_jobs
WHERE state NOT IN ('done', 'failed', 'withdrawn') GROUP BY account, state

-- name: waiting_shards
SELECT number, created_at AS since
FROM (
    SELECT count(*) AS number, min(batch_key) AS oldest FROM shards
    WHERE NOT done AND NOT claimed AND NOT held
        AND batch_key NOT IN (SELECT key FROM batches WHERE ended_at IS NULL AND pause IS NOT NULL)
) AS waiting
LEFT JOIN batches ON key = oldest

-- name: insert_file
INSERT INTO files (
    id, workspace, provider, purpose, filename, size, sha256, created_at, expires_at, blob, batch_id, part,
    mime_type, output_of
)
VALUES (
    %(id)s, %(workspace)s, %(provider)s, %(purpose)s, %(filename)s, %(size)s, %(sha256)s, %(created_at)s,
    %(expires_at)s, %(blob)s, %(batch_id)s, %(part)s, %(mime_type)s, %(output_of)s
)
ON CONFLICT (id) DO NOTHING
RETURNING *

-- name: find_file
SELECT * FROM files
WHERE id = %(id)s AND workspace = %(workspace)s AND deleted_at IS NULL
    AND (expires_at IS NULL OR expires_at > %(now)s)

-- name: lock_batch_of_file
SELECT key FROM batches
WHERE id = (SELECT batch_id FROM files WHERE files.id = %(id)s AND files.workspace = %(workspace)s)
FOR NO KEY UPDATE

-- name: find_file_cursor
SELECT key FROM files WHERE id = %(id)s AND workspace = %(workspace)s

-- name: list_files_newest_first
SELECT * FROM files
WHERE workspace = %(workspace)s AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)
    AND key < %(after)s AND (%(purpose)s::text IS NULL OR purpose = %(purpose)s)
    AND (%(provider)s::text IS NULL OR provider = %(provider)s OR EXISTS (
        SELECT 1 FROM batches JOIN batch_providers AS named ON named.batch_key = batches.key
        WHERE batches.id = files.batch_id AND named.workspace = %(workspace)s AND named.provider = %(provider)s
    ))
ORDER BY key DESC LIMIT %(limit)s

-- name: list_files_oldest_first
SELECT * FROM files
WHERE workspace = %(workspace)s AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)
    AND key > %(after)s AND (%(purpose)s::text IS NULL OR purpose = %(purpose)s)
    AND (%(provider)s::text IS NULL OR provider = %(provider)s OR EXISTS (
        SELECT 1 FROM batches JOIN batch_providers AS named ON named.batch_key = batches.key
        WHERE batches.id = files.batch_id AND named.workspace = %(workspace)s AND named.provider = %(provider)s
    ))
ORDER BY key ASC LIMIT %(limit)s

-- name: delete_file
UPDATE files SET deleted_at = %(now)s
WHERE id = %(id)s AND workspace = %(workspace)s AND deleted_at IS NULL
    AND (expires_at IS NULL OR expires_at > %(now)s)
RETURNING *

-- name: expired_files
SELECT id, workspace FROM files WHERE deleted_at IS NULL AND expires_at <= %(now)s ORDER BY expires_at LIMIT 1000

-- name: lock_batches_of_files
SELECT key FROM batches
WHERE id IN (SELECT batch_id FROM files WHERE files.id = ANY (%(ids)s))
ORDER BY key FOR NO KEY UPDATE

-- name: expire_files
UPDATE files SET deleted_at = %(now)s
WHERE id = ANY (%(ids)s) AND deleted_at IS NULL AND expires_at <= %(now)s
RETURNING *

-- name: put_secret
INSERT INTO secrets (name, ciphertext, created_at, updated_at) VALUES (%(name)s, %(ciphertext)s, %(now)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET ciphertext = excluded.ciphertext, updated_at = excluded.updated_at
RETURNING *

-- name: find_secret
SELECT * FROM secrets WHERE name = %(name)s

-- name: list_secrets
SELECT * FROM secrets ORDER BY name

-- name: delete_secret
DELETE FROM secrets WHERE name = %(name)s RETURNING name

-- name: reencrypt_secret
UPDATE secrets SET ciphertext = %(new)s WHERE name = %(name)s AND ciphertext = %(old)s RETURNING name

-- name: reencrypt_webhook
UPDATE webhooks
SET secret = CASE secret WHEN %(old)s THEN %(new)s ELSE secret END,
    previous_secret = CASE previous_secret WHEN %(old)s THEN %(new)s ELSE previous_secret END
WHERE 'webhook:' || id = %(name)s AND %(old)s IN (secret, previous_secret)
RETURNING key

-- name: list_ciphertexts
SELECT name, ciphertext FROM secrets
UNION ALL
SELECT 'webhook:' || id, secret FROM webhooks
UNION ALL
SELECT 'webhook:' || id, previous_secret FROM webhooks WHERE previous_secret IS NOT NULL
