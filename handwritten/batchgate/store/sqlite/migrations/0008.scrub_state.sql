-- How far the scrub of stored blobs has come, as JSON; at most one row.
CREATE TABLE scrub_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    state TEXT NOT NULL
) STRICT;
