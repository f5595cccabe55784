-- How a batch went over time: its results in periods, which begin at these microseconds since the epoch. Durations of
-- calls are microseconds, money is in nano-dollars. Batches have no periods from before this migration.
CREATE TABLE batch_series (
    batch_key INTEGER NOT NULL REFERENCES batches (key),
    at INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    longest INTEGER NOT NULL,
    call_limit INTEGER,
    PRIMARY KEY (batch_key, at)
) STRICT, WITHOUT ROWID;
