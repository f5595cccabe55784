-- Which lanes the plan of a batch has chosen for its requests, and why, as JSON.
CREATE TABLE batch_lanes (
    batch_key bigint PRIMARY KEY REFERENCES batches (key),
    lanes bytea NOT NULL
);
