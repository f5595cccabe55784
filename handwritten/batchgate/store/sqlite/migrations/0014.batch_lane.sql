-- A batch keeps its lane from now on. Batches that run without jobs and without a lane of their own are called directly,
-- whatever lane the settings give their accounts.
UPDATE batches SET terms = json_set(terms, '$.lane', 'direct')
WHERE ended_at IS NULL AND awaits_plan = 0 AND json_type(terms, '$.lane') IS NULL
    AND NOT EXISTS (SELECT 1 FROM native_jobs WHERE native_jobs.batch_key = batches.key);
