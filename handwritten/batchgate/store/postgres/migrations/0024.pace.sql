-- How many requests the direct calls of a batch finish in a second, as JSON; see `Pace`.
ALTER TABLE batches ADD COLUMN pace text;
