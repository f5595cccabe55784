-- How many calls of a batch failed and were made again, by reason, as JSON; NULL for none, and before this migration.
ALTER TABLE batches ADD COLUMN retried_calls TEXT;
