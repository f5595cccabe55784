-- What pauses a batch by itself: its first results for each model, as JSON, while their errors may pause it (NULL if they may
-- not), and what it may cost, in nano-dollars.
ALTER TABLE batches ADD COLUMN fail_fast TEXT;
ALTER TABLE batches ADD COLUMN budget INTEGER;
