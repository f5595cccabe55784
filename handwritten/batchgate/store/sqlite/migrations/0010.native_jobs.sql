-- Whether the shards of a batch are held until a plan says which requests run in jobs of the provider's batch API.
ALTER TABLE batches ADD COLUMN awaits_plan INTEGER NOT NULL DEFAULT 0;

-- A held shard is in no queue, and no worker claims it.
ALTER TABLE shards ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

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
    proven INTEGER NOT NULL,
    refusals INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    reason TEXT
) STRICT;
CREATE INDEX native_jobs_of_batch ON native_jobs (batch_key);
CREATE INDEX native_jobs_active ON native_jobs (batch_key) WHERE state NOT IN ('done', 'failed', 'withdrawn');
