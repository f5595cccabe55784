-- The model of all requests of a batch; NULL if they differ, and for batches from before this migration.
ALTER TABLE batches ADD COLUMN model TEXT;
