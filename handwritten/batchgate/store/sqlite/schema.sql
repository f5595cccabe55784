-- Times are microseconds since the epoch. A deleted batch keeps its row as a cursor for paging.
-- The shards of a batch that awaits its plan are held.
CREATE TABLE batches (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL,
    dialect TEXT NOT NULL,
    terms TEXT NOT NULL,
    provider TEXT NOT NULL,
    providers TEXT NOT NULL,
    headers TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('validating', 'failed', 'in_progress', 'canceling', 'ended')),
    total INTEGER NOT NULL,
    succeeded INTEGER NOT NULL DEFAULT 0,
    errored INTEGER NOT NULL DEFAULT 0,
    canceled INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    repeated INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    open_shards INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    in_progress_at INTEGER,
    cancel_initiated_at INTEGER,
    ended_at INTEGER CHECK ((ended_at IS NULL) = (status IN ('validating', 'in_progress', 'canceling'))),
    archived_at INTEGER,
    deleted_at INTEGER,
    caller TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    idempotency_key TEXT,
    input_blob TEXT,
    results_blob TEXT,
    results_size INTEGER,
    output_size INTEGER,
    output_file TEXT,
    error_file TEXT,
    first_faults BLOB,
    input_size INTEGER NOT NULL DEFAULT 0,
    cost INTEGER NOT NULL DEFAULT 0,
    results_sha256 BLOB,
    model TEXT,
    awaits_plan INTEGER NOT NULL DEFAULT 0,
    native_cost INTEGER NOT NULL DEFAULT 0,
    saved INTEGER NOT NULL DEFAULT 0,
    unpriced INTEGER NOT NULL DEFAULT 0,
    paid_twice INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    long_cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    name TEXT,
    pause TEXT,
    parent TEXT,
    input_hash BLOB,
    fail_fast TEXT,
    budget INTEGER,
    priority TEXT NOT NULL DEFAULT 'normal',
    pace TEXT,
    reused INTEGER NOT NULL DEFAULT 0,
    concurrency INTEGER,
    concurrency_changes INTEGER NOT NULL DEFAULT 0,
    priority_scope TEXT NOT NULL DEFAULT 'workspace',
    retried_calls TEXT,
    lane_changes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX batches_by_workspace ON batches (workspace, key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX batches_by_idempotency_key ON batches (workspace, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX batches_by_fingerprint ON batches (fingerprint, created_at);
CREATE INDEX batches_open ON batches (expires_at) WHERE ended_at IS NULL;
CREATE INDEX batches_open_of_workspace ON batches (workspace) WHERE ended_at IS NULL;
CREATE INDEX batches_by_end ON batches (workspace, ended_at) WHERE deleted_at IS NULL AND ended_at IS NOT NULL;
-- Lists of the gateway are in the order of creation, and each of these filters has an index of its own.
CREATE INDEX batches_by_creation ON batches (workspace, created_at, key) WHERE deleted_at IS NULL;
CREATE INDEX batches_by_name ON batches (workspace, name, created_at, key)
    WHERE deleted_at IS NULL AND name IS NOT NULL;
CREATE INDEX batches_by_status ON batches (workspace, status, created_at, key) WHERE deleted_at IS NULL;
CREATE INDEX batches_by_model ON batches (workspace, model, created_at, key)
    WHERE deleted_at IS NULL AND model IS NOT NULL;
CREATE INDEX batches_by_parent ON batches (workspace, parent, key) WHERE parent IS NOT NULL;
CREATE INDEX batches_with_results ON batches (created_at)
    WHERE results_blob IS NOT NULL AND output_file IS NULL AND error_file IS NULL AND deleted_at IS NULL;

-- The providers that a batch is listed by; a deleted batch has none.
CREATE TABLE batch_providers (
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    batch_key INTEGER NOT NULL REFERENCES batches (key),
    PRIMARY KEY (workspace, provider, batch_key)
) STRICT, WITHOUT ROWID;

-- A held shard is in no queue, and no worker claims it.
CREATE TABLE shards (
    batch_key INTEGER NOT NULL REFERENCES batches (key),
    shard INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    byte_offset INTEGER NOT NULL,
    byte_length INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    claimed INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (batch_key, shard)
) STRICT, WITHOUT ROWID;
CREATE INDEX shards_open ON shards (shard, batch_key) WHERE done = 0;

CREATE TABLE chunks (
    batch_key INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    number INTEGER NOT NULL,
    seqs BLOB NOT NULL,
    lines BLOB NOT NULL,
    succeeded INTEGER NOT NULL,
    errored INTEGER NOT NULL,
    PRIMARY KEY (batch_key, shard, number)
) STRICT;

-- The validation errors of failed batches; they may be long, and are read for one batch at a time.
CREATE TABLE faults (
    batch_key INTEGER PRIMARY KEY REFERENCES batches (key),
    failed_at INTEGER NOT NULL,
    faults BLOB NOT NULL
) STRICT;
CREATE INDEX faults_by_time ON faults (failed_at);

-- A deleted file keeps its row as a cursor for paging. A result file of a batch has no blob of its own; an output of one
-- of its requests has.
CREATE TABLE files (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    purpose TEXT NOT NULL,
    filename TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    deleted_at INTEGER,
    blob TEXT,
    batch_id TEXT,
    part TEXT,
    mime_type TEXT,
    output_of INTEGER,
    CHECK ((blob IS NULL) = (batch_id IS NOT NULL) AND (part IS NULL) = (batch_id IS NULL))
) STRICT;
CREATE INDEX files_of_batch ON files (batch_id) WHERE batch_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX files_by_workspace ON files (workspace, key) WHERE deleted_at IS NULL;
CREATE INDEX files_to_expire ON files (expires_at) WHERE deleted_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX files_output_of ON files (output_of) WHERE output_of IS NOT NULL AND deleted_at IS NULL;

-- Orphan blobs, which no batch and no file owns: being written, left by a process that died, or of a deleted owner.
CREATE TABLE loose_blobs (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- An archived workspace keeps its row, so that its name is not used again. A quota that is NULL is unlimited; money is in
-- nano-dollars.
CREATE TABLE workspaces (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    archived_at INTEGER,
    queued_requests INTEGER,
    concurrent_batches INTEGER,
    stored_bytes INTEGER,
    monthly_spend INTEGER,
    files INTEGER,
    creates_per_minute INTEGER
) STRICT, WITHOUT ROWID;

-- The bytes of all blobs of the batches and files of a workspace, updated in the transactions that add and remove them.
CREATE TABLE workspace_bytes (
    workspace TEXT PRIMARY KEY,
    stored_bytes INTEGER NOT NULL,
    files INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The batches and uploads that were accepted in a minute, counted since the epoch; only those of the last minutes are kept.
CREATE TABLE workspace_creates (
    workspace TEXT NOT NULL,
    minute INTEGER NOT NULL,
    creates INTEGER NOT NULL,
    PRIMARY KEY (workspace, minute)
) STRICT, WITHOUT ROWID;

-- Not used: processes of the version before migration 31 count in it the cost of the batches that ended in a month.
CREATE TABLE workspace_spend (
    workspace TEXT NOT NULL,
    month TEXT NOT NULL,
    cost INTEGER NOT NULL,
    PRIMARY KEY (workspace, month)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    scopes TEXT NOT NULL,
    hint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_workspace ON api_keys (workspace, key);

-- Provider keys, encrypted with a master key that is not in the database.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    ciphertext BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The jobs of the native lane. The seqs are packed; the first and the last of them find the jobs of a shard.
CREATE TABLE native_jobs (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_key INTEGER NOT NULL REFERENCES batches (key),
    token TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    seqs BLOB NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('planned', 'submitting', 'running', 'collecting', 'done', 'failed', 'withdrawn')),
    epoch INTEGER NOT NULL,
    credential TEXT NOT NULL,
    upstream_file TEXT,
    upstream_id TEXT,
    upstream_status TEXT,
    creating_at INTEGER,
    created_at INTEGER NOT NULL,
    submitted_at INTEGER,
    ended_at INTEGER,
    cancel_requested_at INTEGER,
    refusals INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    reason TEXT,
    paid_twice INTEGER,
    sent INTEGER,
    cleaned INTEGER NOT NULL DEFAULT 0,
    uploads INTEGER NOT NULL DEFAULT 0,
    account_missed_at INTEGER,
    replans INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX native_jobs_of_batch ON native_jobs (batch_key);
CREATE INDEX native_jobs_active ON native_jobs (batch_key) WHERE state NOT IN ('done', 'failed', 'withdrawn');
CREATE INDEX native_jobs_uncleaned ON native_jobs (key)
WHERE cleaned = 0 AND state IN ('done', 'failed', 'withdrawn');

-- Which lanes the plan of a batch has chosen for its requests, and why, as JSON.
CREATE TABLE batch_lanes (
    batch_key INTEGER PRIMARY KEY REFERENCES batches (key),
    lanes BLOB NOT NULL
) STRICT;

-- The tasks that run at providers for requests without a result.
CREATE TABLE provider_tasks (
    batch_key INTEGER NOT NULL REFERENCES batches (key),
    seq INTEGER NOT NULL,
    account TEXT NOT NULL,
    task_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (batch_key, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX provider_tasks_by_time ON provider_tasks (created_at);

-- Why requests of a batch did not succeed: groups of failures as JSON.
CREATE TABLE batch_failures (
    batch_key INTEGER PRIMARY KEY REFERENCES batches (key),
    failures BLOB NOT NULL
) STRICT;

-- What was done to a batch: who paused it, for example.
CREATE TABLE batch_timeline (
    batch_key INTEGER NOT NULL REFERENCES batches (key),
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    detail TEXT,
    PRIMARY KEY (batch_key, number)
) STRICT, WITHOUT ROWID;

-- How far the scrub of stored blobs has come, as JSON; at most one row.
CREATE TABLE scrub_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    state TEXT NOT NULL
) STRICT;

-- URLs that events of batches are sent to. Their secrets are encrypted with a master key that is not in the database.
CREATE TABLE webhooks (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL,
    url TEXT,
    events TEXT NOT NULL,
    secret BLOB NOT NULL,
    previous_secret BLOB,
    previous_secret_until INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_by_workspace ON webhooks (workspace, key);

-- One row for each event that is sent to a webhook.
CREATE TABLE webhook_deliveries (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_key INTEGER NOT NULL REFERENCES webhooks (key) ON DELETE CASCADE,
    event_id TEXT NOT NULL,
    batch_key INTEGER REFERENCES batches (key),
    type TEXT NOT NULL,
    payload TEXT NOT NULL,
    url TEXT,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    retry_until INTEGER NOT NULL,
    attempted_at INTEGER,
    response_status INTEGER,
    error TEXT,
    UNIQUE (webhook_key, event_id)
) STRICT;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_key, key);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (created_at);
CREATE INDEX webhook_deliveries_of_webhook_due ON webhook_deliveries (webhook_key, next_attempt_at, key)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (webhook_key, batch_key, key) WHERE state = 'pending';

-- What results used and cost on a day (UTC), also of batches that are deleted; money is in nano-dollars. The numbers of
-- one day, model and so on are the sum over the slots, so that transactions of many batches do not wait for one row.
CREATE TABLE daily_usage (
    day TEXT NOT NULL,
    workspace TEXT NOT NULL,
    api_key TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    lane TEXT NOT NULL CHECK (lane IN ('direct', 'native')),
    slot INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    errored INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    paid_twice INTEGER NOT NULL,
    PRIMARY KEY (day, workspace, api_key, account, model, lane, slot)
) STRICT, WITHOUT ROWID;

-- The budgets for a month (UTC) of workspaces, of API keys by their names, and of accounts, whose workspace is empty. What
-- is spent of them is counted in the transactions that store results; money is in nano-dollars.
CREATE TABLE monthly_budgets (
    kind TEXT NOT NULL CHECK (kind IN ('workspace', 'key', 'account')),
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    budget INTEGER NOT NULL,
    month TEXT NOT NULL,
    spent INTEGER NOT NULL,
    PRIMARY KEY (kind, workspace, name)
) STRICT, WITHOUT ROWID;

-- How a batch went over time: its results in periods, which begin at these microseconds since the epoch. Durations of
-- calls are microseconds, money is in nano-dollars. Batches have no periods from before this migration.
CREATE TABLE batch_series (
    batch_key INTEGER NOT NULL REFERENCES batches (key),
    at INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    longest INTEGER NOT NULL,
    call_limit INTEGER,
    PRIMARY KEY (batch_key, at)
) STRICT, WITHOUT ROWID;
