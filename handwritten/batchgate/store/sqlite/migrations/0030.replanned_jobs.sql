-- Whether requests that a job leaves unanswered go into another job: it was canceled for a pause.
ALTER TABLE native_jobs ADD COLUMN replans INTEGER NOT NULL DEFAULT 0;
