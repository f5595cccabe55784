-- A batch keeps its lane from now on. Batches that run without jobs and without a lane of their own are called directly,
-- whatever lane the settings give their accounts.
UPDATE batches SET terms = jsonb_set(terms::jsonb, '{lane}', '"direct"')::text
WHERE ended_at IS NULL AND NOT awaits_plan AND NOT terms::jsonb ? 'lane'
    AND NOT EXISTS (SELECT 1 FROM native_jobs WHERE native_jobs.batch_key = batches.key);
