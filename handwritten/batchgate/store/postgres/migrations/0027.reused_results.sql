-- How many requests of a batch took over the result of an equal request of another batch, instead of being sent.
ALTER TABLE batches ADD COLUMN reused bigint NOT NULL DEFAULT 0;
