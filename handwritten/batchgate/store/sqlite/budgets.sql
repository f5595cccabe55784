-- name: charge_budget
-- The results of one month may be stored after the first of the next: they count in no month then.
UPDATE monthly_budgets
SET spent = CASE WHEN month = :month THEN spent + :cost WHEN month < :month THEN :cost ELSE spent END,
    month = max(month, :month)
WHERE kind = :kind AND workspace = :workspace AND name = :name

-- name: set_budget
INSERT INTO monthly_budgets (kind, workspace, name, budget, month, spent)
SELECT :kind, :workspace, :name, :budget, :month, coalesce(sum(cost), 0)
FROM daily_usage
WHERE day IN (SELECT value FROM json_each(:days))
    AND CASE :kind
        WHEN 'workspace' THEN workspace = :workspace
        WHEN 'key' THEN workspace = :workspace AND api_key = :name
        ELSE account = :name
    END
ON CONFLICT (kind, workspace, name) DO UPDATE SET budget = excluded.budget

-- name: remove_budget
DELETE FROM monthly_budgets WHERE kind = :kind AND workspace = :workspace AND name = :name

-- name: remove_configured_key_budget
DELETE FROM monthly_budgets
WHERE kind = :kind AND workspace = :workspace AND name = :name
    AND NOT EXISTS (SELECT 1 FROM api_keys WHERE api_keys.workspace = :workspace AND api_keys.name = :name)

-- name: monthly_budgets
SELECT kind, workspace, name, budget, :month AS month, CASE WHEN month >= :month THEN spent ELSE 0 END AS spent
FROM monthly_budgets ORDER BY kind, workspace, name

-- name: reached_budgets
SELECT
    budgets.kind, budgets.workspace, budgets.name, budgets.budget, :month AS month,
    CASE WHEN budgets.month >= :month THEN budgets.spent ELSE 0 END AS spent
FROM monthly_budgets AS budgets JOIN batches ON batches.key = :batch_key
WHERE CASE WHEN budgets.month >= :month THEN budgets.spent ELSE 0 END >= budgets.budget
    AND CASE budgets.kind
        WHEN 'account' THEN 1
        WHEN 'workspace' THEN budgets.workspace = batches.workspace
        ELSE budgets.workspace = batches.workspace AND budgets.name = batches.caller
    END
ORDER BY budgets.kind, budgets.name

-- name: budgets_of_batch
SELECT budgets.kind, budgets.name FROM monthly_budgets AS budgets JOIN batches ON batches.key = :batch_key
WHERE CASE budgets.kind
    WHEN 'account' THEN 1
    WHEN 'workspace' THEN budgets.workspace = batches.workspace
    ELSE budgets.workspace = batches.workspace AND budgets.name = batches.caller
END

-- name: key_budget
SELECT kind, workspace, name, budget, :month AS month, CASE WHEN month >= :month THEN spent ELSE 0 END AS spent
FROM monthly_budgets WHERE kind = 'key' AND workspace = :workspace AND name = :name
