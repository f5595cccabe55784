-- Why requests of a batch did not succeed: groups of failures as JSON. What failed before this migration is in no group.
CREATE TABLE batch_failures (
    batch_key bigint PRIMARY KEY REFERENCES batches (key),
    failures bytea NOT NULL
);
