-- The batches of a workspace that have ended lately, for callers that follow its events.
CREATE INDEX batches_by_end ON batches (workspace, ended_at) WHERE deleted_at IS NULL AND ended_at IS NOT NULL;
