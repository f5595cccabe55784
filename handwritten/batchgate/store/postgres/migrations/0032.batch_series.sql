-- How a batch went over time: its results in periods, which begin at these microseconds since the epoch. Durations of
-- calls are microseconds, money is in nano-dollars. Batches have no periods from before this migration.
CREATE TABLE batch_series (
    batch_key bigint NOT NULL REFERENCES batches (key),
    at bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    cost bigint NOT NULL,
    calls bigint NOT NULL,
    duration bigint NOT NULL,
    longest bigint NOT NULL,
    call_limit bigint,
    PRIMARY KEY (batch_key, at)
);
