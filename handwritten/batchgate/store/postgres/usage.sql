-- name: add_usage
INSERT INTO daily_usage (
    day, workspace, api_key, account, model, lane, slot, succeeded, errored, input_tokens, cached_tokens,
    output_tokens, reasoning_tokens, cost, saved, unpriced, paid_twice
)
VALUES (
    %(day)s, %(workspace)s, %(api_key)s, %(account)s, %(model)s, %(lane)s, %(slot)s, %(succeeded)s, %(errored)s,
    %(input_tokens)s, %(cached_tokens)s, %(output_tokens)s, %(reasoning_tokens)s, %(cost)s, %(saved)s,
    %(unpriced)s, %(paid_twice)s
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
    CASE WHEN %(by_day)s THEN day ELSE '' END AS day,
    CASE WHEN %(by_model)s THEN model ELSE '' END AS model,
    CASE WHEN %(by_account)s THEN account ELSE '' END AS account,
    CASE WHEN %(by_lane)s THEN lane ELSE '' END AS lane,
    CASE WHEN %(by_workspace)s THEN workspace ELSE '' END AS workspace,
    CASE WHEN %(by_key)s THEN api_key ELSE '' END AS key,
    sum(succeeded)::bigint AS succeeded, sum(errored)::bigint AS errored,
    sum(input_tokens)::bigint AS input_tokens, sum(cached_tokens)::bigint AS cached_tokens,
    sum(output_tokens)::bigint AS output_tokens, sum(reasoning_tokens)::bigint AS reasoning_tokens,
    sum(cost)::bigint AS cost, sum(saved)::bigint AS saved, sum(unpriced)::bigint AS unpriced,
    sum(paid_twice)::bigint AS paid_twice
FROM daily_usage
WHERE day BETWEEN %(since)s AND %(until)s
    AND (%(model)s::text IS NULL OR model = %(model)s)
    AND (%(account)s::text IS NULL OR account = %(account)s)
    AND (%(lane)s::text IS NULL OR lane = %(lane)s)
    AND (%(workspace)s::text IS NULL OR workspace = %(workspace)s)
    AND (%(key)s::text IS NULL OR api_key = %(key)s)
GROUP BY 1, 2, 3, 4, 5, 6
LIMIT %(limit)s

-- name: drop_usage
DELETE FROM daily_usage WHERE day < %(day)s
