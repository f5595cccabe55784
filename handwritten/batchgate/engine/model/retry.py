"""Retries: which requests of an ended batch a new batch sends again, and what it changes of them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from batchgate.engine.model.failure import FailureKind

RetryReason: TypeAlias = FailureKind | Literal["errored"]
"""How a request ended that is to be retried: ``errored`` stands for every class of error."""

_WITHOUT_ANSWER = frozenset({"expired", "canceled"})


class Retry(Struct, frozen=True, kw_only=True):
    """Which requests of a batch to retry: those that meet both conditions."""

    parent: str
    """The id of the batch."""
    only: tuple[RetryReason, ...] = ()
    """How they ended. Empty for all that did not succeed, or, if ``custom_ids`` are given, for any end."""
    custom_ids: tuple[str, ...] | None = None
    """Their ids; None for any."""
    model: str | None = None
    """The model for all of them; None for the one that each has."""
    account: str | None = None
    """The account for all of them; None for the one that each has."""
    webhook: str | UnsetType | None = UNSET
    """The URL that gets the events of the new batch; None for none. Unset for that of the parent."""
    budget: int | UnsetType | None = UNSET
    """What the answers of the new batch may cost; None for any amount. Unset for what the parent had at first."""

    def includes(self, failure: FailureKind | None) -> bool:
        """Return whether a request is retried that ended so, if its id is not ruled out."""
        if not self.only:
            return failure is not None or self.custom_ids is not None
        if failure is None:
            return False
        return failure in self.only or ("errored" in self.only and failure not in _WITHOUT_ANSWER)
