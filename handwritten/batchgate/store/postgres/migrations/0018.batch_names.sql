-- The name of a batch, for lists; what the caller gave is in the terms too. Batches from before have none.
ALTER TABLE batches ADD COLUMN name text;

-- Lists of the gateway are in the order of creation, and each of these filters has an index of its own.
CREATE INDEX batches_by_creation ON batches (workspace, created_at, key) WHERE deleted_at IS NULL;
CREATE INDEX batches_by_name ON batches (workspace, name, created_at, key)
    WHERE deleted_at IS NULL AND name IS NOT NULL;
CREATE INDEX batches_by_status ON batches (workspace, status, created_at, key) WHERE deleted_at IS NULL;
CREATE INDEX batches_by_model ON batches (workspace, model, created_at, key)
    WHERE deleted_at IS NULL AND model IS NOT NULL;
