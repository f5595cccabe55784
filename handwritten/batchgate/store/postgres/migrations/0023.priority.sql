-- The priority of a batch beside the other batches of its workspace.
ALTER TABLE batches ADD COLUMN priority text NOT NULL DEFAULT 'normal';
