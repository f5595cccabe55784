-- Whether a batch is paused, as JSON, and what was done to it.
ALTER TABLE batches ADD COLUMN pause TEXT;
CREATE TABLE batch_timeline (
    batch_key INTEGER NOT NULL REFERENCES batches (key),
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    detail TEXT,
    PRIMARY KEY (batch_key, number)
) STRICT, WITHOUT ROWID;
