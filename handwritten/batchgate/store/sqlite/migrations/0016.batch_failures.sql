-- Why requests of a batch did not succeed: groups of failures as JSON. What failed before this migration is in no group.
CREATE TABLE batch_failures (
    batch_key INTEGER PRIMARY KEY REFERENCES batches (key),
    failures BLOB NOT NULL
) STRICT;
