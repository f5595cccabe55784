"""The prices of one account: those of the settings first, then those of the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from typing import Final

from batchgate.engine.model.clock import HOUR
from batchgate.engine.model.price import LanePrices, Price
from batchgate.providers.prices.batch_discounts import BatchDiscount
from batchgate.providers.prices.catalogue import Catalogue

logger = logging.getLogger(__name__)

ANY_MODEL: Final = "*"
MAX_MODELS: Final = 1000
"""Models whose prices are kept until the next hour; callers choose the names, so their number is bounded."""
MAX_REPORTED: Final = 100
"""Models without a price that are logged."""


class AccountPrices:
    """`PriceList` of an account; ``now`` gives microseconds.

    The price of a native request is, in this order: the normal price times the factor of the settings, the price of the
    catalogue for batches, the normal price with the discount that the provider publishes.
    """

    def __init__(
        self,
        account: str,
        *,
        prices: Mapping[str, Price],
        factors: Mapping[str, float],
        discount: BatchDiscount,
        catalogue: Catalogue | None,
        now: Callable[[], int],
    ) -> None:
        self._account = account
        self._given = prices
        self._factors = {model: Fraction(str(factor)) for model, factor in factors.items()}
        self._discount = discount
        self._catalogue = catalogue
        self._now = now
        self._hour = -1
        self._found: dict[str, LanePrices | None] = {}
        """The prices of this hour: those of the catalogue may change with time."""
        self._reported: set[str] = set()

    def find(self, model: str) -> LanePrices | None:
        """Return the present prices of a model; None if no price is known, which is logged once."""
        hour = self._now() // HOUR
        if hour != self._hour or len(self._found) >= MAX_MODELS:
            self._hour, self._found = hour, {}
        found = self._found  # another thread may begin the next hour meanwhile
        if model not in found:
            found[model] = self._look_up(model)
        return found[model]

    @property
    def listed_models(self) -> Collection[str]:
        """The models that the settings name a price for."""
        return self._given.keys() - {ANY_MODEL}

    def native_is_cheaper(self, model: str) -> bool:
        """Return whether the batch API is cheaper: by its prices, or where they are not known by its factor."""
        prices = self.find(model)
        return self._factor(model) < 1 if prices is None else prices.native_is_cheaper

    def _look_up(self, model: str) -> LanePrices | None:
        direct, native = self._given.get(model) or self._given.get(ANY_MODEL), None
        if direct is None and self._catalogue is not None:
            listed = self._catalogue.find(model)
            if listed is not None:
                direct, native = listed.direct, listed.native
        if direct is None:
            self._report(model)
            return None
        if native is None or self._given_factor(model) is not None:
            native = direct.scaled(self._factor(model), cached=self._discount.cached)
        return LanePrices(direct=direct, native=native)

    def _given_factor(self, model: str) -> Fraction | None:
        return self._factors.get(model, self._factors.get(ANY_MODEL))

    def _factor(self, model: str) -> Fraction:
        """Return the factor of the settings, or else the one that the provider publishes."""
        given = self._given_factor(model)
        return self._discount.factor_of(model) if given is None else given

    def _report(self, model: str) -> None:
        """Log a model without a price, if the account is to have prices."""
        is_wanted = bool(self._given) or self._catalogue is not None
        if is_wanted and model not in self._reported and len(self._reported) < MAX_REPORTED:
            self._reported.add(model)
            logger.warning(
                'account %r has no price for a model: its requests count as free; add [accounts.%s.prices."%s"]',
                self._account,
                self._account,
                model[:128],
                extra={"action": "price_missing", "account": self._account, "model": model[:128]},
            )
