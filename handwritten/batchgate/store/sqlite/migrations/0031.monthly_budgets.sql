-- The budgets for a month (UTC) of workspaces, of API keys by their names, and of accounts, whose workspace is empty. What
-- is spent of them is counted in the transactions that store results; money is in nano-dollars.
CREATE TABLE monthly_budgets (
    kind TEXT NOT NULL CHECK (kind IN ('workspace', 'key', 'account')),
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    budget INTEGER NOT NULL,
    month TEXT NOT NULL,
    spent INTEGER NOT NULL,
    PRIMARY KEY (kind, workspace, name)
) STRICT, WITHOUT ROWID;

-- workspace_spend is no longer used; processes of the version before this migration still write it.
INSERT INTO monthly_budgets (kind, workspace, name, budget, month, spent)
SELECT
    'workspace', name, name, monthly_spend, strftime('%Y-%m', 'now'),
    coalesce((SELECT cost FROM workspace_spend AS ended WHERE ended.workspace = name AND month = strftime('%Y-%m', 'now')), 0)
    + coalesce((SELECT sum(cost) FROM batches WHERE batches.workspace = workspaces.name AND ended_at IS NULL), 0)
FROM workspaces WHERE monthly_spend IS NOT NULL;
