-- The batch whose requests a batch retries, and a hash of the stored input, by which it is verified when it is read
-- again. Batches from before have neither.
ALTER TABLE batches ADD COLUMN parent text;
ALTER TABLE batches ADD COLUMN input_hash bytea;
CREATE INDEX batches_by_parent ON batches (workspace, parent, key) WHERE parent IS NOT NULL;
