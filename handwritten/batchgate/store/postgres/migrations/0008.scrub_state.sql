-- How far the scrub of stored blobs has come, as JSON; at most one row.
CREATE TABLE scrub_state (
    id integer PRIMARY KEY CHECK (id = 1),
    state text NOT NULL
);
