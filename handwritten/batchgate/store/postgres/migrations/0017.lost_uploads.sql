-- How often all rows of a job were sent: files may be left upstream if the answers to some uploads were lost.
ALTER TABLE native_jobs ADD COLUMN uploads bigint NOT NULL DEFAULT 0;

-- Since when the settings do not have the account of a job.
ALTER TABLE native_jobs ADD COLUMN account_missed_at bigint;
