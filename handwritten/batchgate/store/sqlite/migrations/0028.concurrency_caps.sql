-- How many direct calls of a batch may be in flight over all workers, and how often that was changed.
ALTER TABLE batches ADD COLUMN concurrency INTEGER;
ALTER TABLE batches ADD COLUMN concurrency_changes INTEGER NOT NULL DEFAULT 0;
