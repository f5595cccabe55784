-- What results used and cost on a day (UTC), also of batches that are deleted; money is in nano-dollars. The numbers of
-- one day, model and so on are the sum over the slots, so that transactions of many batches do not wait for one row.
CREATE TABLE daily_usage (
    day TEXT NOT NULL,
    workspace TEXT NOT NULL,
    api_key TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    lane TEXT NOT NULL CHECK (lane IN ('direct', 'native')),
    slot INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    errored INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    paid_twice INTEGER NOT NULL,
    PRIMARY KEY (day, workspace, api_key, account, model, lane, slot)
) STRICT, WITHOUT ROWID;
