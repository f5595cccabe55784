"""Workspaces, the tenants of a gateway: their quotas, their usage, and the check of one against the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import QuotaExceeded
from batchgate.engine.model.file import MIN_COUNTED_SIZE

MINUTE: Final = 60 * MICROSECONDS
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
    files: int | None = None
    """Uploaded files that are not deleted; an expired file counts until the sweep deletes it, as its bytes do."""
    creates_per_minute: int | None = None
    """Batches and uploads that are accepted in a minute of the clock, in one count."""
    monthly_spend: int | None = None
    """The cost of all answers in a calendar month (UTC), in nano-dollars."""


class QuotaUsage(Struct, frozen=True, kw_only=True):
    """The present usage of a workspace, with the same fields as its quotas."""

    queued_requests: int = 0
    concurrent_batches: int = 0
    stored_bytes: int = 0
    files: int = 0
    creates_per_minute: int = 0
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
    files: int = 0
    creates: int = 0


SMALLEST_FILE: Final = QuotaDemand(files=1, stored_bytes=MIN_COUNTED_SIZE, creates=1)
"""What any upload demands."""
SMALLEST_BATCH: Final = QuotaDemand(requests=1, batches=1, stored_bytes=1, creates=1)
"""What any new batch demands."""


def month_of(now: int) -> str:
    """Return the calendar month of a time in UTC, such as ``2026-11``."""
    return f"{datetime.fromtimestamp(now // MICROSECONDS, UTC):%Y-%m}"


def minute_of(now: int) -> int:
    """Return the number of the minute of a time; creates are counted by minutes of the clock."""
    return now // MINUTE


def check_quotas(workspace: str, quotas: Quotas, usage: QuotaUsage, demand: QuotaDemand, now: int) -> None:
    """Raise `QuotaExceeded` for the first quota that usage and demand together exceed.

    The creates of a minute are checked last: a caller that is told to wait for the next minute finds room then. The
    cost of a batch is unknown in advance, so the spend quota only refuses new batches once it is used up.
    """
    checks = (
        ("queued requests", quotas.queued_requests, usage.queued_requests, demand.requests),
        ("concurrent batches", quotas.concurrent_batches, usage.concurrent_batches, demand.batches),
        ("stored bytes", quotas.stored_bytes, usage.stored_bytes, demand.stored_bytes),
        ("files", quotas.files, usage.files, demand.files),
    )
    for name, limit, used, needed in checks:
        if limit is not None and needed and used + needed > limit:
            raise QuotaExceeded(workspace, name, f"{limit}, {used} are in use, and this needs {needed} more")
    if quotas.monthly_spend is not None and demand.batches and usage.monthly_spend >= quotas.monthly_spend:
        detail = f"{format_dollars(quotas.monthly_spend)}, and {format_dollars(usage.monthly_spend)} are spent"
        raise QuotaExceeded(workspace, "spend in a calendar month", detail)
    _check_rate(workspace, quotas.creates_per_minute, usage.creates_per_minute, demand.creates, now)


def _check_rate(workspace: str, limit: int | None, accepted: int, needed: int, now: int) -> None:
    """Raise `QuotaExceeded` if a minute has no room for more creates; the next minute has, unless the limit is 0."""
    if limit is None or not needed or accepted + needed <= limit:
        return
    seconds = -(-(MINUTE - now % MINUTE) // MICROSECONDS)
    detail = f"{limit}, and {accepted} were accepted in this minute"
    raise QuotaExceeded(workspace, "creates per minute", detail, retry_after=seconds if limit else None)


def format_dollars(nanodollars: int) -> str:
    """Format an amount with at least two decimals, and more only as far as they are not zero."""
    cents, rest = divmod(nanodollars, NANODOLLARS_PER_DOLLAR // 100)
    return f"${cents / 100:,.2f}" + f"{rest:07d}".rstrip("0")
