-- How many rows a job really sent: it may exist upstream only if its body was complete.
ALTER TABLE native_jobs ADD COLUMN sent INTEGER;
UPDATE native_jobs SET sent = requests WHERE upstream_file IS NOT NULL OR creating_at IS NOT NULL;

-- Whether nothing of an ended job is left upstream.
ALTER TABLE native_jobs ADD COLUMN cleaned INTEGER NOT NULL DEFAULT 0;
CREATE INDEX native_jobs_uncleaned ON native_jobs (key)
WHERE cleaned = 0 AND state IN ('done', 'failed', 'withdrawn');

-- A job upstream counts as ours only when its token or its results prove it: those that did without are in doubt again.
UPDATE native_jobs SET state = 'submitting', upstream_id = NULL, upstream_status = NULL, submitted_at = NULL
WHERE proven = 0 AND state IN ('running', 'collecting');
ALTER TABLE native_jobs DROP COLUMN proven;
