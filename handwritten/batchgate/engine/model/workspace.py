"""Workspaces, the tenants of a gateway: what each may use, what it uses, and when that is too much."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import QuotaExceeded

NANODOLLARS_PER_DOLLAR: Final = 1_000_000_000
"""Money is counted in whole billionths of a US dollar."""


class Quotas(Struct, frozen=True, kw_only=True):
    """The most that a workspace may use; None for no bound."""

    queued_requests: int | None = None
    """Requests without a result, of all batches that have not ended."""
    concurrent_batches: int | None = None
    """Batches that have not ended."""
    stored_bytes: int | None = None
    """Bytes of inputs, results and uploaded files."""
    monthly_spend: int | None = None
    """What answers cost in a calendar month, in nano-dollars."""


class QuotaUsage(Struct, frozen=True, kw_only=True):
    """What a workspace uses, in the words of its quotas."""

    queued_requests: int = 0
    concurrent_batches: int = 0
    stored_bytes: int = 0
    monthly_spend: int = 0


class Workspace(Struct, frozen=True, kw_only=True):
    """A tenant; its time is in microseconds since the epoch."""

    name: str
    created_at: int
    quotas: Quotas = Quotas()


class WorkspacePage(Struct, frozen=True, kw_only=True):
    """Some workspaces in the order of their names, and whether there are more."""

    workspaces: tuple[Workspace, ...]
    has_more: bool


class QuotaDemand(Struct, frozen=True, kw_only=True):
    """What something about to be stored would add to the use of its workspace."""

    requests: int = 0
    batches: int = 0
    stored_bytes: int = 0


def month_of(now: int) -> str:
    """Name the calendar month of a time, in UTC, such as ``2026-11``."""
    return f"{datetime.fromtimestamp(now // MICROSECONDS, UTC):%Y-%m}"


def check_quotas(workspace: str, quotas: Quotas, use: QuotaUsage, needs: QuotaDemand) -> None:
    """Raise `QuotaExceeded` where what is needed does not fit, naming the first quota that it does not fit into.

    What is spent already counts against new batches only: what one will cost is not known before.
    """
    checks = (
        ("queued requests", quotas.queued_requests, use.queued_requests, needs.requests),
        ("concurrent batches", quotas.concurrent_batches, use.concurrent_batches, needs.batches),
        ("stored bytes", quotas.stored_bytes, use.stored_bytes, needs.stored_bytes),
    )
    for name, most, used, more in checks:
        if most is not None and more and used + more > most:
            raise QuotaExceeded(workspace, name, f"{most}, {used} are in use, and this needs {more} more")
    if quotas.monthly_spend is not None and needs.batches and use.monthly_spend >= quotas.monthly_spend:
        told = f"{format_dollars(quotas.monthly_spend)}, and {format_dollars(use.monthly_spend)} are spent"
        raise QuotaExceeded(workspace, "spend in a calendar month", told)


def format_dollars(nanodollars: int) -> str:
    """Write an amount for people, to the cent and as far beyond as there is anything."""
    cents, rest = divmod(nanodollars, NANODOLLARS_PER_DOLLAR // 100)
    return f"${cents / 100:,.2f}" + f"{rest:07d}".rstrip("0")
