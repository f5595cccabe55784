-- Which lanes the plan of a batch has chosen for its requests, and why, as JSON.
CREATE TABLE batch_lanes (
    batch_key INTEGER PRIMARY KEY REFERENCES batches (key),
    lanes BLOB NOT NULL
) STRICT;
