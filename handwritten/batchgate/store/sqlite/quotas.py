"""Usage of a workspace, counted and checked in the transactions that change it."""

from __future__ import annotations

import sqlite3

import msgspec

from batchgate.engine.model.workspace import QuotaDemand, Quotas, QuotaUsage, check_quotas
from batchgate.store.queries import load_queries
from batchgate.store.tenant_records import creates_row, quotas_from_row, usage_from_row, usage_params

QUERIES = load_queries("batchgate.store.sqlite", "tenants.sql")


def reserve_quota(connection: sqlite3.Connection, workspace: str, demand: QuotaDemand, now: int) -> None:
    """Check a demand against the quotas and count it; raises `QuotaExceeded`."""
    row = connection.execute(QUERIES["find_workspace"], {"name": workspace}).fetchone()
    quotas = Quotas() if row is None else quotas_from_row(row)
    if quotas != Quotas():
        usage = read_usage(connection, workspace, now, with_spend=quotas.monthly_spend is not None)
        check_quotas(workspace, quotas, usage, demand, now)
    if demand.creates:
        params = creates_row(workspace, demand.creates, now)
        connection.execute(QUERIES["count_creates"], params)
        connection.execute(QUERIES["forget_creates"], params)
    add_stored_bytes(connection, workspace, demand.stored_bytes, files=demand.files)


def add_stored_bytes(connection: sqlite3.Connection, workspace: str, stored_bytes: int, *, files: int = 0) -> None:
    """Add to the stored bytes and files of a workspace; negative numbers subtract."""
    if stored_bytes or files:
        params = {"workspace": workspace, "stored_bytes": stored_bytes, "files": files}
        connection.execute(QUERIES["charge_bytes"], params)


def read_usage(connection: sqlite3.Connection, workspace: str, now: int, *, with_spend: bool = True) -> QuotaUsage:
    """Read the usage of a workspace; its open batches are counted, the rest is stored in rows."""
    params = usage_params(workspace, now, with_spend=with_spend)
    params["days"] = msgspec.json.encode(params["days"]).decode()
    return usage_from_row(connection.execute(QUERIES["workspace_usage"], params).fetchone())
