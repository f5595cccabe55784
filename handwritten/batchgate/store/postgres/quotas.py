"""What a workspace uses, counted and checked in the transactions that change it.

Whoever stores something in a workspace holds its order (``lock_order``), so that two never make room in what only one
of them fits into. The row of the workspace's bytes is the last that a transaction waits for.
"""

from __future__ import annotations

from batchgate.engine.model.workspace import QuotaDemand, Quotas, check_quotas, month_of
from batchgate.store.postgres.connection import Transaction
from batchgate.store.tenant_records import quotas_of, use_of


async def make_room(transaction: Transaction, workspace: str, needs: QuotaDemand, now: int) -> None:
    """Count the bytes that are about to be stored; raises `QuotaExceeded` where what is needed does not fit."""
    row = await transaction.one("find_workspace", {"name": workspace})
    quotas = Quotas() if row is None else quotas_of(row)
    if quotas != Quotas():
        bound = {"workspace": workspace, "month": month_of(now)}
        current, stored, spent = [await transaction.one(name, bound) for name in ("open_use", "stored_bytes", "spent")]
        assert current is not None
        check_quotas(workspace, quotas, use_of(current, stored, spent), needs)
    await charge(transaction, workspace, needs.stored_bytes)


async def charge(transaction: Transaction, workspace: str, stored_bytes: int) -> None:
    """Count bytes that are stored, or, where they are negative, are no longer."""
    if stored_bytes:
        await transaction.send("charge_bytes", {"workspace": workspace, "stored_bytes": stored_bytes})


async def spend(transaction: Transaction, workspace: str, cost: int, now: int) -> None:
    """Count what a batch that ends now has cost."""
    if cost:
        await transaction.send("charge_spend", {"workspace": workspace, "month": month_of(now), "cost": cost})
