-- What results used and cost on a day (UTC), also of batches that are deleted; money is in nano-dollars. The numbers of
-- one day, model and so on are the sum over the slots, so that transactions of many batches do not wait for one row.
CREATE TABLE daily_usage (
    day text NOT NULL,
    workspace text NOT NULL,
    api_key text NOT NULL,
    account text NOT NULL,
    model text NOT NULL,
    lane text NOT NULL CHECK (lane IN ('direct', 'native')),
    slot smallint NOT NULL,
    succeeded bigint NOT NULL,
    errored bigint NOT NULL,
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost bigint NOT NULL,
    saved bigint NOT NULL,
    unpriced bigint NOT NULL,
    paid_twice bigint NOT NULL,
    PRIMARY KEY (day, workspace, api_key, account, model, lane, slot)
);
