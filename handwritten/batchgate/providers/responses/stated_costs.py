"""What a provider's response says that its call has cost, in whole nano-dollars.

Only providers whose documentation says that the amount is in US dollars, and what was charged, are in `STATED_COSTS`:

- OpenRouter: ``usage.cost`` is what is charged, in credits (openrouter.ai/docs/use-cases/usage-accounting), which are
  US dollars (``usage`` of ``GET /key``: "credit usage (in USD)"). With a key of the caller's own at the upstream
  provider that is OpenRouter's fee alone, and ``cost_details.upstream_inference_cost`` is what that provider charges.
  What the rows of its batches state is not documented.
- xAI: ``usage.cost_in_usd_ticks`` is what is charged after all discounts, tools included; a dollar has 10^10 ticks
  (docs.x.ai/developers/cost-tracking), also in the rows of batches (github.com/OpenRouterTeam/docs,
  docs/batch-research).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR

_TICK: Final = Decimal("0.1")
"""Nano-dollars."""
_MAX_COST: Final = Decimal(1_000_000) * NANODOLLARS_PER_DOLLAR
"""A larger cost of one call is wrong."""


class StatedCost(Struct, frozen=True):
    """How the responses of a provider state the cost of a call."""

    read: Callable[[bytes], int | None]
    """Returns the nano-dollars that a body states; None if it states none."""
    in_jobs: bool
    """Whether the rows of its batch API state what they have cost too."""


class _CostDetails(Struct):
    upstream_inference_cost: object = None


class _Usage(Struct):
    cost: object = None
    cost_in_usd_ticks: object = None
    is_byok: object = False
    cost_details: _CostDetails | None = None


class _Answer(Struct):
    usage: _Usage | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer, float_hook=Decimal)
"""With the hook, the amounts are exact."""


def _openrouter_cost(body: bytes) -> int | None:
    usage = _usage(body)
    if usage is None:
        return None
    charged = _nanodollars(usage.cost, Decimal(NANODOLLARS_PER_DOLLAR))
    if charged is None or usage.is_byok is not True:
        return charged
    details = usage.cost_details or _CostDetails()
    upstream = _nanodollars(details.upstream_inference_cost, Decimal(NANODOLLARS_PER_DOLLAR))
    return None if upstream is None else charged + upstream


def _xai_cost(body: bytes) -> int | None:
    usage = _usage(body)
    return None if usage is None else _nanodollars(usage.cost_in_usd_ticks, _TICK)


def _usage(body: bytes) -> _Usage | None:
    try:
        return _ANSWER.decode(body).usage
    except (*DECODING_ERRORS, InvalidOperation):  # the latter for an exponent that no number has
        return None


def _nanodollars(amount: object, each: Decimal) -> int | None:
    """Return an amount of units that are worth so many nano-dollars each, rounded up; None for no valid amount."""
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal) or not 0 <= amount <= _MAX_COST / each:
        return None
    return int((Decimal(amount) * each).to_integral_value(ROUND_CEILING))


STATED_COSTS: Final[Mapping[str, StatedCost]] = MappingProxyType(
    {
        "openrouter": StatedCost(_openrouter_cost, in_jobs=False),
        "xai": StatedCost(_xai_cost, in_jobs=True),
    }
)
"""By the names of the providers."""
