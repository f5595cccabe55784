"""The prices of one account."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from batchgate.engine.model.price import LanePrices


class PriceList(Protocol):
    """Knows what the models of an account cost. Both methods are quick: they are called for each request."""

    def find(self, model: str) -> LanePrices | None:
        """Return the present prices of a model, as the provider knows it; None if no price is known."""
        ...

    @property
    def listed_models(self) -> Collection[str]:
        """The models that the settings name a price for."""
        ...

    def native_is_cheaper(self, model: str) -> bool:
        """Return whether the provider's batch API is cheaper for a model, though its price may be unknown."""
        ...


class NoPrices:
    """`PriceList` of an account whose models have no prices and no discount."""

    listed_models: Collection[str] = ()

    def find(self, model: str) -> None:
        """Return None."""

    def native_is_cheaper(self, model: str) -> bool:  # noqa: ARG002
        """Return False."""
        return False
