"""Usage of a workspace, counted and checked in the transactions that change it.

A transaction that stores something in a workspace holds the workspace's lock (``lock_workspace_order``), so that two of
them cannot both use the last free part of a quota. The row of the workspace's bytes is the last that a transaction
locks.
"""

from __future__ import annotations

from batchgate.engine.model.workspace import QuotaDemand, Quotas, check_quotas, month_of
from batchgate.store.postgres.connection import Transaction
from batchgate.store.tenant_records import quotas_from_row, usage_from_rows


async def reserve_quota(transaction: Transaction, workspace: str, demand: QuotaDemand, now: int) -> None:
    """Check a demand against the quotas and count its bytes; raises `QuotaExceeded`."""
    row = await transaction.fetch_one("find_workspace", {"name": workspace})
    quotas = Quotas() if row is None else quotas_from_row(row)
    if quotas != Quotas():
        params = {"workspace": workspace, "month": month_of(now)}
        queries = ("open_batch_usage", "stored_bytes", "month_spend")
        current, stored, spent = [await transaction.fetch_one(query, params) for query in queries]
        assert current is not None
        check_quotas(workspace, quotas, usage_from_rows(current, stored, spent), demand)
    await add_stored_bytes(transaction, workspace, demand.stored_bytes)


async def add_stored_bytes(transaction: Transaction, workspace: str, stored_bytes: int) -> None:
    """Add to the stored bytes of a workspace; a negative number subtracts."""
    if stored_bytes:
        await transaction.execute("charge_bytes", {"workspace": workspace, "stored_bytes": stored_bytes})


async def add_spend(transaction: Transaction, workspace: str, cost: int, now: int) -> None:
    """Add the cost of a batch that ends now to the spend of the month."""
    if cost:
        await transaction.execute("charge_spend", {"workspace": workspace, "month": month_of(now), "cost": cost})
