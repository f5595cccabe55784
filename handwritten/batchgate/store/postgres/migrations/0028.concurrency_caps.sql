-- How many direct calls of a batch may be in flight over all workers, and how often that was changed.
ALTER TABLE batches ADD COLUMN concurrency bigint;
ALTER TABLE batches ADD COLUMN concurrency_changes bigint NOT NULL DEFAULT 0;
