"""Fail fast: a batch is paused once its first results for one model are all the same permanent error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, structs

from batchgate.engine.model.failure import MAX_EXAMPLE, Failure, FailureKind
from batchgate.engine.model.health_report import one_line
from batchgate.engine.model.message_pattern import pattern_of

DEFAULT_FAIL_FAST: Final = 20
"""How many first results for one model pause a batch, unless a setting or the caller says otherwise."""
MAX_FAIL_FAST: Final = 10_000
MAX_WATCHED_MODELS: Final = 50
"""Models of one batch whose first results are watched; those of any others pause nothing."""


class CalledModel(Struct, frozen=True, array_like=True):
    """A model, and the account through which it is called."""

    account: str
    model: str


class FirstResults(Struct, frozen=True, kw_only=True):
    """The first results of a batch for one model, as long as they are the same permanent error."""

    called: CalledModel
    count: int
    """How many there are."""
    kind: FailureKind | None
    pattern: str
    """The pattern of their messages."""
    message: str
    """The message of the first of them."""
    over: bool
    """Whether another result came after them, or they have paused the batch: later ones are not looked at."""

    def is_same_error(self, other: FirstResults) -> bool:
        """Check if these results and those of another chunk have the same error."""
        return other.count > 0 and (self.kind, self.pattern) == (other.kind, other.pattern)


class FailFast(Struct, frozen=True, kw_only=True):
    """How many first results pause a batch, and those that it has for each model."""

    limit: int
    models: tuple[FirstResults, ...] = ()

    def watches(self, added: Iterable[FirstResults]) -> bool:
        """Check if results may change what is known of their models."""
        over = {first.called for first in self.models if first.over}
        return any(first.called not in over for first in added)

    def with_results(self, added: Iterable[FirstResults]) -> FailFast:
        """Return this with the results of a chunk, which come after all others."""
        known = {first.called: first for first in self.models}
        for first in added:
            before = known.get(first.called)
            if before is not None:
                known[first.called] = _joined(before, first)
            elif len(known) < MAX_WATCHED_MODELS:
                known[first.called] = first
        return structs.replace(self, models=tuple(known.values()))

    def failing_model(self, before: FailFast) -> FirstResults | None:
        """Return a model with so many same errors that the batch is to be paused, and was not ``before``."""
        over = {first.called for first in before.models if first.over}
        found = (first for first in self.models if first.count >= self.limit and first.called not in over)
        return next(found, None)

    def settled(self, called: CalledModel) -> FailFast:
        """Return this after the batch was paused for a model: further results of it pause it no more."""
        models = (structs.replace(first, over=True) if first.called == called else first for first in self.models)
        return structs.replace(self, models=tuple(models))


def first_results(results: Iterable[tuple[CalledModel, Failure | None]]) -> tuple[FirstResults, ...]:
    """Return how the results of each model begin; a result without a permanent failure ends its beginning."""
    found: dict[CalledModel, FirstResults] = {}
    for called, failure in results:
        before = found.get(called)
        if before is None:
            found[called] = _of_one(called, failure)
        elif not before.over:
            found[called] = _joined(before, _of_one(called, failure))
    return tuple(found.values())


def reason_to_pause(first: FirstResults) -> str:
    """Say why a batch is paused for the first results of a model."""
    return one_line(f"the first {first.count} results for {first.called.model} are the same error: {first.message}")


def _of_one(called: CalledModel, failure: Failure | None) -> FirstResults:
    if failure is None or not failure.permanent:
        return FirstResults(called=called, count=0, kind=None, pattern="", message="", over=True)
    return FirstResults(
        called=called,
        count=1,
        kind=failure.kind,
        pattern=pattern_of(failure.message),
        message=failure.message[:MAX_EXAMPLE],
        over=False,
    )


def _joined(before: FirstResults, after: FirstResults) -> FirstResults:
    """Return results with those that come after them."""
    if before.over:
        return before
    if not before.is_same_error(after):
        return structs.replace(before, over=True)
    return structs.replace(before, count=before.count + after.count, over=after.over)
