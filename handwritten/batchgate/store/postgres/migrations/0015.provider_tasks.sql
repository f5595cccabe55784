-- The tasks that run at providers for requests without a result.
CREATE TABLE provider_tasks (
    batch_key bigint NOT NULL REFERENCES batches (key),
    seq integer NOT NULL,
    account text NOT NULL,
    task_id text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (batch_key, seq)
);
CREATE INDEX provider_tasks_by_time ON provider_tasks (created_at);

-- The key of the batch whose request made the file, if one did; it is kept as long as the results.
ALTER TABLE files ADD COLUMN output_of bigint;
CREATE INDEX files_output_of ON files (output_of) WHERE output_of IS NOT NULL AND deleted_at IS NULL;
