"""Prices from the catalogue of the package genai-prices, which the extra ``prices`` installs.

Only the data that is in the package is read; its update from the network is never started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.price import LongContextPrice, Price
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

CATALOGUE_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "anthropic": "anthropic",
        "azure": "azure",
        "cerebras": "cerebras",
        "cohere": "cohere",
        "fireworks": "fireworks",
        "gemini": "google",
        "groq": "groq",
        "mistral": "mistral",
        "openai": "openai",
        "openrouter": "openrouter",
        "perplexity": "perplexity",
        "vertex": "google",
        "xai": "x-ai",
    }
)
"""The catalogue's names of the providers of which it has prices."""

_BATCH: Final = {"processing": "batch"}
_REQUESTS: Final = 1000
"""Prices of requests are per this many."""


class CataloguePrice(Struct, frozen=True, kw_only=True):
    """What the catalogue knows about a model."""

    direct: Price
    native: Price | None
    """The price in the provider's batch API; None if the catalogue knows none that is in force."""


class Catalogue:
    """The prices of one provider; raises `ImportError` without the package. ``now`` gives microseconds."""

    def __init__(self, provider: str, now: Callable[[], int]) -> None:
        from genai_prices import data_snapshot  # noqa: PLC0415 - only if it is used: it takes 0.7 seconds and 36 MB

        self._snapshot: Final = data_snapshot.get_snapshot()
        self._name: Final = CATALOGUE_NAMES[provider]
        self._now = now

    def find(self, model: str) -> CataloguePrice | None:
        """Return the present prices of a model; None if the catalogue does not know it, or not per token."""
        try:
            provider, found = self._snapshot.find_provider_model(model, None, self._name, None)
        except LookupError:
            return None
        moment = datetime.fromtimestamp(self._now() / MICROSECONDS, UTC)
        standard = found.get_prices(moment)
        if standard.input_mtok is None:
            return None
        # For a model that it takes from another provider's list, the catalogue knows no price of a batch.
        has_batch = any(found is own for own in provider.models) and _has_batch_price(found, moment)
        native = _batch_price(found, moment) if has_batch else None
        return CataloguePrice(direct=_price(standard), native=native)


def _has_batch_price(model: ModelInfo, moment: datetime) -> bool:
    """Return whether a price of a batch is in force; where none is, the catalogue answers with the normal price."""
    return any(
        variant.when == _BATCH and (variant.constraint is None or variant.constraint.active(moment))
        for variant in model.price_variants or ()
    )


def _batch_price(model: ModelInfo, moment: datetime) -> Price:
    """Return the price of a batch.

    Where the provider publishes none for cached input, the catalogue keeps the normal one. That is less than what the
    provider may bill, so cached input then costs as much as other input.
    """
    price, normal = model.get_prices(moment, _BATCH), model.get_prices(moment)
    found = _price(price)
    if price.cache_read_mtok != normal.cache_read_mtok or price.input_mtok == normal.input_mtok:
        return found
    return found.scaled(Fraction(1), cached=False)


def _price(given: ModelPrice) -> Price:
    """Return a price with those for long contexts, which start at a number of input tokens."""
    starts = sorted({tier.start for value in vars(given).values() for tier in getattr(value, "tiers", ())})
    longer = (LongContextPrice(more_than=start, price=_price_above(given, start)) for start in starts)
    return structs.replace(_price_above(given, 0), long_context=tuple(longer))


def _price_above(given: ModelPrice, start: int) -> Price:
    """Return the price of requests with more input tokens than ``start``; what has no price costs what is nearest."""
    incoming = _nanodollars(given.input_mtok, start) or 0
    cached, written = _nanodollars(given.cache_read_mtok, start), _nanodollars(given.cache_write_mtok, start)
    written = incoming if written is None else written
    long_written = _nanodollars(given.cache_write_1h_mtok, start)
    request = _nanodollars(given.requests_kcount, start)
    return Price(
        input=incoming,
        cached_input=incoming if cached is None else cached,
        cache_write=written,
        long_cache_write=written if long_written is None else long_written,
        output=_nanodollars(given.output_mtok, start) or 0,
        request=0 if request is None else -(-request // _REQUESTS),
    )


def _nanodollars(price: Decimal | TieredPrices | None, start: int) -> int | None:
    if price is None:
        return None
    if not isinstance(price, Decimal):
        reached = [tier.price for tier in price.tiers if tier.start <= start]
        price = reached[-1] if reached and start else price.base
    return round(price * NANODOLLARS_PER_DOLLAR)
