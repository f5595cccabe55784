-- The budgets for a month (UTC) of workspaces, of API keys by their names, and of accounts, whose workspace is empty. What
-- is spent of them is counted in the transactions that store results; money is in nano-dollars.
CREATE TABLE monthly_budgets (
    kind text NOT NULL CHECK (kind IN ('workspace', 'key', 'account')),
    workspace text NOT NULL,
    name text NOT NULL,
    budget bigint NOT NULL,
    month text NOT NULL,
    spent bigint NOT NULL,
    PRIMARY KEY (kind, workspace, name)
);

-- workspace_spend is no longer used; processes of the version before this migration still write it.
INSERT INTO monthly_budgets (kind, workspace, name, budget, month, spent)
SELECT
    'workspace', name, name, monthly_spend, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'),
    coalesce((SELECT cost FROM workspace_spend AS ended WHERE ended.workspace = name AND month = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')), 0)
    + coalesce((SELECT sum(cost)::bigint FROM batches WHERE batches.workspace = workspaces.name AND ended_at IS NULL), 0)
FROM workspaces WHERE monthly_spend IS NOT NULL;
