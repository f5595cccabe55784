-- name: add_usage
INSERT INTO daily_usage (
    day, workspace, api_key, account, model, lane, slot, succeeded, errored, input_tokens, cached_tokens,
    output_tokens, reasoning_tokens, cost, saved, unpriced, paid_twice
)
VALUES (
    :day, :workspace, :api_key, :account, :model, :lane, :slot, :succeeded, :errored, :input_tokens,
    :cached_tokens, :output_tokens, :reasoning_tokens, :cost, :saved, :unpriced, :paid_twice
)
ON CONFLICT (day, workspace, api_key, account, model, lane, slot) DO UPDATE SET
    succeeded = daily_usage.succeeded + excluded.succeeded, errored = daily_usage.errored + excluded.errored,
    input_tokens = daily_usage.input_tokens + excluded.input_tokens,
    cached_tokens = daily_usage.cached_tokens + excluded.cached_tokens,
    output_tokens = daily_usage.output_tokens + excluded.output_tokens,
    reasoning_tokens = daily_usage.reasoning_tokens + excluded.reasoning_tokens,
    cost = daily_usage.cost + excluded.cost, saved = daily_usage.saved + excluded.saved,
    unpriced = daily_usage.unpriced + excluded.unpriced, paid_twice = daily_usage.paid_twice + excluded.paid_twice

-- name: usage_groups
SELECT
    CASE WHEN :by_day THEN day ELSE '' END AS day,
    CASE WHEN :by_model THEN model ELSE '' END AS model,
    CASE WHEN :by_account THEN account ELSE '' END AS account,
    CASE WHEN :by_lane THEN lane ELSE '' END AS lane,
    CASE WHEN :by_workspace THEN workspace ELSE '' END AS workspace,
    CASE WHEN :by_key THEN api_key ELSE '' END AS key,
    sum(succeeded) AS succeeded, sum(errored) AS errored, sum(input_tokens) AS input_tokens,
    sum(cached_tokens) AS cached_tokens, sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens, sum(cost) AS cost, sum(saved) AS saved, sum(unpriced) AS unpriced,
    sum(paid_twice) AS paid_twice
FROM daily_usage
WHERE day BETWEEN :since AND :until
    AND (:model IS NULL OR model = :model)
    AND (:account IS NULL OR account = :account)
    AND (:lane IS NULL OR lane = :lane)
    AND (:workspace IS NULL OR workspace = :workspace)
    AND (:key IS NULL OR api_key = :key)
GROUP BY 1, 2, 3, 4, 5, 6
LIMIT :limit

-- name: drop_usage
DELETE FROM daily_usage WHERE day < :day
