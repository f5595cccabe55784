"""What results say about the pause of their batch, the same for every database."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.budget import is_reached, reached_text, unknown_text
from batchgate.engine.model.fail_fast import FailFast, FirstResults, reason_to_pause
from batchgate.engine.model.monthly_budget import MonthlyBudget, pause_for
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.steering import Pause
from batchgate.store.records import Row, batch_from_row, fail_fast_from_row, fail_fast_text


class ResultPause(Struct, frozen=True, kw_only=True):
    """What results change of a batch beside its counts."""

    fail_fast: str | None
    """Its first results, as its row has them."""
    pause: Pause | None
    """The pause that they lead to."""


def may_change_pause(row: Row, chunk: ResultChunk) -> bool:
    """Check if results may pause the batch in a row, which may be older than other results."""
    if row["budget"] is not None and (chunk.spend.total or chunk.spend.unpriced):
        return True
    state = fail_fast_from_row(row)
    return state is not None and state.watches(chunk.first_results)


def pause_of_results(row: Row, chunk: ResultChunk, reached: Sequence[MonthlyBudget]) -> ResultPause:
    """Return what the results of a chunk change of a batch; ``row`` counts them already.

    ``reached`` are the monthly budgets that are reached, and may stop the batch.

    A batch that is paused already, or has all its results, is not paused.
    """
    batch, before = batch_from_row(row), fail_fast_from_row(row)
    after = None if before is None else before.with_results(chunk.first_results)
    may_pause = batch.pause is None and batch.counts.processing > 0
    pause = (_budget_pause(batch, chunk) or _monthly_pause(chunk, reached)) if may_pause else None
    if before is None or after is None:
        return ResultPause(fail_fast=None, pause=pause)
    failing = after.failing_model(before)
    if failing is None or pause is not None or not may_pause:
        return ResultPause(fail_fast=fail_fast_text(after), pause=pause)
    return _fail_fast_pause(after, failing)


def _budget_pause(batch: Batch, chunk: ResultChunk) -> Pause | None:
    if batch.budget is None:
        return None
    if is_reached(batch.budget, batch.spend):
        return Pause(code="budget_reached", reason=reached_text(batch.budget, batch.spend))
    return Pause(code="price_unknown", reason=unknown_text(batch.budget)) if chunk.spend.unpriced else None


def _monthly_pause(chunk: ResultChunk, reached: Sequence[MonthlyBudget]) -> Pause | None:
    """Return the pause for the first of some budgets that stops further calls like those of the chunk."""
    accounts = {used.called.account for used in chunk.models if used.called is not None}
    stopping = (budget for budget in reached if budget.kind != "account" or budget.name in accounts)
    first = next(stopping, None)
    return None if first is None else pause_for(first)


def _fail_fast_pause(state: FailFast, failing: FirstResults) -> ResultPause:
    pause = Pause(code="identical_errors", reason=reason_to_pause(failing))
    return ResultPause(fail_fast=fail_fast_text(state.settled(failing.called)), pause=pause)
