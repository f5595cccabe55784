-- The part of the cost that answers of the native lane have, and what direct calls would have cost more for them.
ALTER TABLE batches ADD COLUMN native_cost bigint NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN saved bigint NOT NULL DEFAULT 0;

-- Answers whose cost is not known.
ALTER TABLE batches ADD COLUMN unpriced bigint NOT NULL DEFAULT 0;

-- Requests that a native job answered after they had been called directly in its place.
ALTER TABLE batches ADD COLUMN paid_twice bigint NOT NULL DEFAULT 0;

-- Input tokens that were written to a cache; of these, the ones that it keeps for an hour.
ALTER TABLE batches ADD COLUMN cache_write_tokens bigint NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN long_cache_write_tokens bigint NOT NULL DEFAULT 0;

-- Requests that a job answered after others had been called in their place; NULL while that is not known.
ALTER TABLE native_jobs ADD COLUMN paid_twice bigint;
