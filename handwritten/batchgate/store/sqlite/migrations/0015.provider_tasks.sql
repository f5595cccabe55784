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

-- The key of the batch whose request made the file, if one did; it is kept as long as the results.
ALTER TABLE files ADD COLUMN output_of INTEGER;
CREATE INDEX files_output_of ON files (output_of) WHERE output_of IS NOT NULL AND deleted_at IS NULL;
