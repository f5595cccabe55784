"""Prices of models in both lanes, and what answers cost at them, in whole nano-dollars."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from typing import Final

from msgspec import Struct, structs

from batchgate.engine.model.usage import Usage

TOKENS_PER_PRICE: Final = 1_000_000
"""Prices are per this many tokens."""


class Price(Struct, frozen=True, kw_only=True):
    """The price of a million tokens of a model, in nano-dollars."""

    input: int
    cached_input: int
    """Input tokens that were read from the provider's cache."""
    cache_write: int
    """Input tokens that were written to the cache."""
    long_cache_write: int
    """Those of them that the cache keeps for an hour."""
    output: int
    request: int = 0
    """Nano-dollars for each request, whatever its tokens."""
    long_context: tuple[LongContextPrice, ...] = ()
    """The prices of requests with more input tokens, ordered by their bound."""

    def scaled(self, factor: Fraction, *, cached: bool = True) -> Price:
        """Return the price with a discount; without ``cached``, tokens from the cache cost as much as other input.

        The price of a request stays: no provider says that its batch API discounts it.
        """
        return structs.replace(
            self,
            input=round(self.input * factor),
            cached_input=round((self.cached_input if cached else self.input) * factor),
            cache_write=round(self.cache_write * factor),
            long_cache_write=round(self.long_cache_write * factor),
            output=round(self.output * factor),
            long_context=tuple(
                LongContextPrice(more_than=each.more_than, price=each.price.scaled(factor, cached=cached))
                for each in self.long_context
            ),
        )

    def cost(self, usage: Usage) -> int:
        """Return the cost of an answer in nano-dollars, rounded up."""
        for each in reversed(self.long_context):
            if usage.input_tokens > each.more_than:
                return each.price.cost(usage)
        cached = min(usage.cached_tokens, usage.input_tokens)
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        kept_long = min(usage.long_cache_write_tokens, written)
        total = (
            (usage.input_tokens - cached - written) * self.input
            + cached * self.cached_input
            + (written - kept_long) * self.cache_write
            + kept_long * self.long_cache_write
            + usage.output_tokens * self.output
        )
        return -(-total // TOKENS_PER_PRICE) + self.request


class LongContextPrice(Struct, frozen=True, kw_only=True):
    """The price of all tokens of a request whose input has more than so many."""

    more_than: int
    price: Price


class LanePrices(Struct, frozen=True, kw_only=True):
    """The prices of one model in both lanes."""

    direct: Price
    native: Price

    @property
    def native_is_cheaper(self) -> bool:
        """Whether tokens cost less in the native lane."""
        return self.native.input + self.native.output < self.direct.input + self.direct.output


class Spend(Struct, frozen=True, kw_only=True):
    """What answers have cost, in nano-dollars."""

    direct: int = 0
    native: int = 0
    saved: int = 0
    """What direct calls would have cost for the answers of the native lane, less what these answers cost."""
    unpriced: int = 0
    """Answers that are not counted, because the price of their model or their usage is unknown."""

    @property
    def total(self) -> int:
        """The cost in both lanes."""
        return self.direct + self.native

    @property
    def is_known(self) -> bool:
        """Whether the cost of any answer is known, and not free."""
        return bool(self.direct or self.native or self.saved)


UNPRICED: Final = Spend(unpriced=1)
"""What one answer has cost whose price or usage is unknown."""


def total_spend(spends: Collection[Spend]) -> Spend:
    """Add up what many answers have cost."""
    return Spend(
        direct=sum([spend.direct for spend in spends]),
        native=sum([spend.native for spend in spends]),
        saved=sum([spend.saved for spend in spends]),
        unpriced=sum([spend.unpriced for spend in spends]),
    )


def spend_on(usage: Usage | None, prices: LanePrices | None, *, native: bool, stated: int | None = None) -> Spend:
    """Return what one answer has cost in its lane: what the provider has ``stated``, or else what the prices say."""
    if usage is None or prices is None:
        if stated is None:
            return UNPRICED
        return Spend(native=stated) if native else Spend(direct=stated)
    if not native:
        return Spend(direct=prices.direct.cost(usage) if stated is None else stated)
    cost = prices.native.cost(usage) if stated is None else stated
    return Spend(native=cost, saved=prices.direct.cost(usage) - cost)
