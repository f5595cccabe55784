"""Usage of a workspace, counted and checked in the transactions that change it.

A transaction that stores something in a workspace holds the workspace's lock (``lock_workspace_order``), so that two of
them cannot both use the last free part of a quota, on whichever gateway they are. The row of the workspace's bytes is
the last that a transaction locks.
"""

from __future__ import annotations

from batchgate.engine.model.workspace import QuotaDemand, Quotas, check_quotas
from batchgate.store.postgres.connection import Transaction
from batchgate.store.tenant_records import creates_row, quotas_from_row, usage_from_row, usage_params


async def reserve_quota(transaction: Transaction, workspace: str, demand: QuotaDemand, now: int) -> None:
    """Check a demand against the quotas and count it; raises `QuotaExceeded`."""
    row = await transaction.fetch_one("find_workspace", {"name": workspace})
    quotas = Quotas() if row is None else quotas_from_row(row)
    if quotas != Quotas():
        used = await transaction.fetch_one(
            "workspace_usage", usage_params(workspace, now, with_spend=quotas.monthly_spend is not None)
        )
        assert used is not None
        check_quotas(workspace, quotas, usage_from_row(used), demand, now)
    if demand.creates:
        params = creates_row(workspace, demand.creates, now)
        await transaction.execute("count_creates", params)
        await transaction.execute("forget_creates", params)
    await add_stored_bytes(transaction, workspace, demand.stored_bytes, files=demand.files)


async def add_stored_bytes(transaction: Transaction, workspace: str, stored_bytes: int, *, files: int = 0) -> None:
    """Add to the stored bytes and files of a workspace; negative numbers subtract."""
    if stored_bytes or files:
        params = {"workspace": workspace, "stored_bytes": stored_bytes, "files": files}
        await transaction.execute("charge_bytes", params)
