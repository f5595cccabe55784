"""What results used and cost: for each model in a chunk, and by day, model, account, lane, workspace and API key."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.price import Spend
from batchgate.engine.model.usage import Usage

UsedLane: TypeAlias = Literal["direct", "native"]
"""Where a result comes from: a job of a provider's batch API, or anything else."""

UsageDimension: TypeAlias = Literal["day", "model", "account", "lane", "workspace", "key"]
"""By what usage is told apart; the day is that of the results, in UTC."""

USAGE_DIMENSIONS: Final[tuple[UsageDimension, ...]] = get_args(UsageDimension)
MAX_USAGE_GROUPS: Final = 10_000
"""Groups of one answer at most."""


class ModelUsage(Struct, frozen=True, kw_only=True):
    """What results for one model used and cost."""

    called: CalledModel | None
    """None for requests that no account has a model for."""
    succeeded: int = 0
    errored: int = 0
    usage: Usage = Usage()
    spend: Spend = Spend()
    paid_twice: int = 0
    """Requests that a native job answered after they had been called directly in its place."""


class UsageAmounts(Struct, frozen=True, kw_only=True):
    """What is counted; money is in nano-dollars."""

    succeeded: int = 0
    errored: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    saved: int = 0
    unpriced: int = 0
    paid_twice: int = 0


class UsageGroup(Struct, frozen=True, kw_only=True):
    """Usage that is the same in what a query groups by; each other dimension is an empty text."""

    day: str = ""
    model: str = ""
    """Also empty for requests that no account has a model for, and likewise the account."""
    account: str = ""
    lane: str = ""
    workspace: str = ""
    key: str = ""
    """The name of the API key that created the batches; also empty for calls without one."""
    amounts: UsageAmounts


class UsageQuery(Struct, frozen=True, kw_only=True):
    """Which usage is asked for, and by what it is grouped; a filter that is None finds everything."""

    since: str
    """The first day, such as ``2026-11-30``."""
    until: str
    """The last day."""
    by: frozenset[UsageDimension]
    model: str | None = None
    account: str | None = None
    lane: UsedLane | None = None
    workspace: str | None = None
    key: str | None = None


def day_of(now: int) -> str:
    """Return the day of a time in UTC, such as ``2026-11-30``."""
    return f"{datetime.fromtimestamp(now // MICROSECONDS, UTC):%Y-%m-%d}"


def amounts_of(used: ModelUsage) -> UsageAmounts:
    """Return the amounts that results add."""
    return UsageAmounts(
        succeeded=used.succeeded,
        errored=used.errored,
        input_tokens=used.usage.input_tokens,
        cached_tokens=used.usage.cached_tokens,
        output_tokens=used.usage.output_tokens,
        reasoning_tokens=used.usage.reasoning_tokens,
        cost=used.spend.total,
        saved=used.spend.saved,
        unpriced=used.spend.unpriced,
        paid_twice=used.paid_twice,
    )


def total_amounts(amounts: Iterable[UsageAmounts]) -> UsageAmounts:
    """Add up amounts."""
    listed = list(amounts)
    names = UsageAmounts.__struct_fields__
    return UsageAmounts(**{name: sum([getattr(each, name) for each in listed]) for name in names})
