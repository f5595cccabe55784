"""What a workspace uses, counted and checked in the transactions that change it."""

from __future__ import annotations

import sqlite3

from batchgate.engine.model.workspace import QuotaDemand, Quotas, QuotaUsage, check_quotas, month_of
from batchgate.store import tenant_records
from batchgate.store.queries import load_queries
from batchgate.store.tenant_records import quotas_of

QUERIES = load_queries("batchgate.store.sqlite", "tenants.sql")


def make_room(connection: sqlite3.Connection, workspace: str, needs: QuotaDemand, now: int) -> None:
    """Count the bytes that are about to be stored; raises `QuotaExceeded` where what is needed does not fit."""
    row = connection.execute(QUERIES["find_workspace"], {"name": workspace}).fetchone()
    quotas = Quotas() if row is None else quotas_of(row)
    if quotas != Quotas():
        check_quotas(workspace, quotas, use_of(connection, workspace, month_of(now)), needs)
    charge(connection, workspace, needs.stored_bytes)


def charge(connection: sqlite3.Connection, workspace: str, stored_bytes: int) -> None:
    """Count bytes that are stored, or, where they are negative, are no longer."""
    if stored_bytes:
        connection.execute(QUERIES["charge_bytes"], {"workspace": workspace, "stored_bytes": stored_bytes})


def spend(connection: sqlite3.Connection, workspace: str, cost: int, now: int) -> None:
    """Count what a batch that ends now has cost."""
    if cost:
        bound = {"workspace": workspace, "month": month_of(now), "cost": cost}
        connection.execute(QUERIES["charge_spend"], bound)


def use_of(connection: sqlite3.Connection, workspace: str, month: str) -> QuotaUsage:
    """Read what a workspace uses: the batches that have not ended are counted, the rest is a row."""
    bound = {"workspace": workspace, "month": month}
    current, stored, spent = (
        connection.execute(QUERIES[name], bound).fetchone() for name in ("open_use", "stored_bytes", "spent")
    )
    return tenant_records.use_of(current, stored, spent)
