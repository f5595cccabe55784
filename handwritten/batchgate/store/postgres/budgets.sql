-- name: lock_budgets
-- Waits for the transactions that store results and may not have seen a new budget; no other one begins meanwhile.
LOCK TABLE monthly_budgets IN SHARE ROW EXCLUSIVE MODE

-- name: charge_budgets
WITH charged AS (
    SELECT budgets.kind, budgets.workspace, budgets.name, spenders.cost
    FROM unnest(
        %(spender_kinds)s::text[], %(spender_workspaces)s::text[], %(spender_names)s::text[],
        %(spender_costs)s::bigint[]
    ) AS spenders (kind, workspace, name, cost)
    JOIN monthly_budgets AS budgets USING (kind, workspace, name)
    ORDER BY budgets.kind, budgets.workspace, budgets.name
    FOR UPDATE OF budgets
)
UPDATE monthly_budgets AS budgets
SET spent = CASE
        WHEN budgets.month = %(month)s THEN budgets.spent + charged.cost
        WHEN budgets.month < %(month)s THEN charged.cost
        ELSE budgets.spent
    END,
    month = greatest(budgets.month, %(month)s)
FROM charged
WHERE budgets.kind = charged.kind AND budgets.workspace = charged.workspace AND budgets.name = charged.name

-- name: set_budget
INSERT INTO monthly_budgets (kind, workspace, name, budget, month, spent)
SELECT %(kind)s, %(workspace)s, %(name)s, %(budget)s, %(month)s, coalesce(sum(cost), 0)::bigint
FROM daily_usage
WHERE day = ANY(%(days)s::text[])
    AND CASE %(kind)s::text
        WHEN 'workspace' THEN workspace = %(workspace)s
        WHEN 'key' THEN workspace = %(workspace)s AND api_key = %(name)s
        ELSE account = %(name)s
    END
ON CONFLICT (kind, workspace, name) DO UPDATE SET budget = excluded.budget

-- name: remove_budget
DELETE FROM monthly_budgets WHERE kind = %(kind)s AND workspace = %(workspace)s AND name = %(name)s

-- name: remove_configured_key_budget
DELETE FROM monthly_budgets
WHERE kind = %(kind)s AND workspace = %(workspace)s AND name = %(name)s
    AND NOT EXISTS (SELECT 1 FROM api_keys WHERE api_keys.workspace = %(workspace)s AND api_keys.name = %(name)s)

-- name: monthly_budgets
SELECT
    kind, workspace, name, budget, %(month)s::text AS month,
    CASE WHEN month >= %(month)s THEN spent ELSE 0 END AS spent
FROM monthly_budgets ORDER BY kind, workspace, name

-- name: reached_budgets
SELECT
    budgets.kind, budgets.workspace, budgets.name, budgets.budget, %(month)s::text AS month,
    CASE WHEN budgets.month >= %(month)s THEN budgets.spent ELSE 0 END AS spent
FROM monthly_budgets AS budgets JOIN batches ON batches.key = %(batch_key)s
WHERE CASE WHEN budgets.month >= %(month)s THEN budgets.spent ELSE 0 END >= budgets.budget
    AND CASE budgets.kind
        WHEN 'account' THEN true
        WHEN 'workspace' THEN budgets.workspace = batches.workspace
        ELSE budgets.workspace = batches.workspace AND budgets.name = batches.caller
    END
ORDER BY budgets.kind, budgets.name

-- name: budgets_of_batch
SELECT budgets.kind, budgets.name FROM monthly_budgets AS budgets JOIN batches ON batches.key = %(batch_key)s
WHERE CASE budgets.kind
    WHEN 'account' THEN true
    WHEN 'workspace' THEN budgets.workspace = batches.workspace
    ELSE budgets.workspace = batches.workspace AND budgets.name = batches.caller
END

-- name: key_budget
SELECT
    kind, workspace, name, budget, %(month)s::text AS month,
    CASE WHEN month >= %(month)s THEN spent ELSE 0 END AS spent
FROM monthly_budgets WHERE kind = 'key' AND workspace = %(workspace)s AND name = %(name)s
