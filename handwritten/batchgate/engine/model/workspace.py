"""Workspaces, the tenants of a gateway: their quotas, their usage, and the check of one against the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import QuotaExceeded

NANODOLLARS_PER_DOLLAR: Final = 1_000_000_000
"""Money is counted in whole nano-dollars: billionths of a US dollar."""


class Quotas(Struct, frozen=True, kw_only=True):
    """The limits of a workspace; None for no limit."""

    queued_requests: int | None = None
    """Requests without a result, in all unfinished batches."""
    concurrent_batches: int | None = None
    """Unfinished batches."""
    stored_bytes: int | None = None
    """Bytes of batch inputs, results and uploaded files."""
    monthly_spend: int | None = None
    """The cost of all answers in a calendar month (UTC), in nano-dollars."""


class QuotaUsage(Struct, frozen=True, kw_only=True):
    """The present usage of a workspace, with the same fields as its quotas."""

    queued_requests: int = 0
    concurrent_batches: int = 0
    stored_bytes: int = 0
    monthly_spend: int = 0


class Workspace(Struct, frozen=True, kw_only=True):
    """A tenant; times are microseconds since the epoch."""

    name: str
    created_at: int
    quotas: Quotas = Quotas()


class WorkspacePage(Struct, frozen=True, kw_only=True):
    """One page of workspaces, ordered by name."""

    workspaces: tuple[Workspace, ...]
    has_more: bool


class QuotaDemand(Struct, frozen=True, kw_only=True):
    """What a new batch or file would add to the usage of its workspace."""

    requests: int = 0
    batches: int = 0
    stored_bytes: int = 0


def month_of(now: int) -> str:
    """Return the calendar month of a time in UTC, such as ``2026-11``."""
    return f"{datetime.fromtimestamp(now // MICROSECONDS, UTC):%Y-%m}"


def check_quotas(workspace: str, quotas: Quotas, usage: QuotaUsage, demand: QuotaDemand) -> None:
    """Raise `QuotaExceeded` for the first quota that usage and demand together exceed.

    The cost of a batch is unknown in advance, so the spend quota only refuses new batches once it is used up.
    """
    checks = (
        ("queued requests", quotas.queued_requests, usage.queued_requests, demand.requests),
        ("concurrent batches", quotas.concurrent_batches, usage.concurrent_batches, demand.batches),
        ("stored bytes", quotas.stored_bytes, usage.stored_bytes, demand.stored_bytes),
    )
    for name, limit, used, needed in checks:
        if limit is not None and needed and used + needed > limit:
            raise QuotaExceeded(workspace, name, f"{limit}, {used} are in use, and this needs {needed} more")
    if quotas.monthly_spend is not None and demand.batches and usage.monthly_spend >= quotas.monthly_spend:
        detail = f"{format_dollars(quotas.monthly_spend)}, and {format_dollars(usage.monthly_spend)} are spent"
        raise QuotaExceeded(workspace, "spend in a calendar month", detail)


def format_dollars(nanodollars: int) -> str:
    """Format an amount with at least two decimals, and more only as far as they are not zero."""
    cents, rest = divmod(nanodollars, NANODOLLARS_PER_DOLLAR // 100)
    return f"${cents / 100:,.2f}" + f"{rest:07d}".rstrip("0")
