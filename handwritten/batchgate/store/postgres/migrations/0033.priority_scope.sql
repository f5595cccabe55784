-- Whether the priority of a batch is beside the batches of its workspace, or of all workspaces.
ALTER TABLE batches ADD COLUMN priority_scope text NOT NULL DEFAULT 'workspace';
