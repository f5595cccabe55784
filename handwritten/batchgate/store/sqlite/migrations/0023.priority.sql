-- The priority of a batch beside the other batches of its workspace.
ALTER TABLE batches ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal';
