-- Whether a batch is paused, as JSON, and what was done to it.
ALTER TABLE batches ADD COLUMN pause text;
CREATE TABLE batch_timeline (
    batch_key bigint NOT NULL REFERENCES batches (key),
    number bigint NOT NULL,
    at bigint NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    detail text,
    PRIMARY KEY (batch_key, number)
);
