"""Usage of a workspace, counted and checked in the transactions that change it."""

from __future__ import annotations

import sqlite3

from batchgate.engine.model.workspace import QuotaDemand, Quotas, QuotaUsage, check_quotas, month_of
from batchgate.store import tenant_records
from batchgate.store.queries import load_queries
from batchgate.store.tenant_records import quotas_from_row

QUERIES = load_queries("batchgate.store.sqlite", "tenants.sql")


def reserve_quota(connection: sqlite3.Connection, workspace: str, demand: QuotaDemand, now: int) -> None:
    """Check a demand against the quotas and count its bytes; raises `QuotaExceeded`."""
    row = connection.execute(QUERIES["find_workspace"], {"name": workspace}).fetchone()
    quotas = Quotas() if row is None else quotas_from_row(row)
    if quotas != Quotas():
        check_quotas(workspace, quotas, read_usage(connection, workspace, month_of(now)), demand)
    add_stored_bytes(connection, workspace, demand.stored_bytes)


def add_stored_bytes(connection: sqlite3.Connection, workspace: str, stored_bytes: int) -> None:
    """Add to the stored bytes of a workspace; a negative number subtracts."""
    if stored_bytes:
        connection.execute(QUERIES["charge_bytes"], {"workspace": workspace, "stored_bytes": stored_bytes})


def add_spend(connection: sqlite3.Connection, workspace: str, cost: int, now: int) -> None:
    """Add the cost of a batch that ends now to the spend of the month."""
    if cost:
        params = {"workspace": workspace, "month": month_of(now), "cost": cost}
        connection.execute(QUERIES["charge_spend"], params)


def read_usage(connection: sqlite3.Connection, workspace: str, month: str) -> QuotaUsage:
    """Read the usage of a workspace; only its open batches are counted, the rest is stored in rows."""
    params = {"workspace": workspace, "month": month}
    queries = ("open_batch_usage", "stored_bytes", "month_spend")
    current, stored, spent = (connection.execute(QUERIES[query], params).fetchone() for query in queries)
    return tenant_records.usage_from_rows(current, stored, spent)
