"""How far a batch is, on each surface: only documented words leave, and times that belong to them."""

from itertools import product
from typing import Any, get_args

import pytest
from msgspec import structs

from batchgate.api.statuses import (
    Times,
    UnifiedStatus,
    anthropic_status,
    openai_status,
    times,
    unified_status,
)
from batchgate.engine.model.batch import Batch, BatchStatus, Dialect
from batchgate.engine.model.clock import DAY, MICROSECONDS
from batchgate.engine.model.usage import Counts
from batchgate_api import anthropic, openai
from tests.support.sample_batch import sample_batch

CREATED = 1_795_000_000
SECOND = MICROSECONDS
NONE = Counts(total=0)
RUNNING = Counts(total=3, succeeded=1)
THROUGH = Counts(total=3, succeeded=2, errored=1)
CUT_OFF = Counts(total=3, succeeded=1, canceled=2)
TOO_LATE = Counts(total=3, succeeded=1, expired=2)


def batch(status: BatchStatus, counts: Counts = NONE, *, canceled: int | None = None, **more: Any) -> Batch:
    """Make a batch; times are in seconds since its creation."""
    created = CREATED * SECOND + 999_999
    moments = {
        "created_at": created,
        "expires_at": created + DAY,
        "in_progress_at": None if status in {"validating", "failed"} else created + SECOND,
        "cancel_initiated_at": None if canceled is None else created + canceled * SECOND,
        "ended_at": created + 60 * SECOND if status in {"ended", "failed"} else None,
    }
    return sample_batch(status=status, counts=counts, **(moments | more))


AFTER_EXPIRY = 24 * 3600 + 1
TABLE = [
    (batch("validating"), "validating", "in_progress", "validating", "validating"),
    (batch("failed"), "failed", "ended", "failed", "failed"),
    (batch("in_progress", RUNNING), "in_progress", "in_progress", "in_progress", "in_progress"),
    (batch("in_progress", THROUGH), "finalizing", "in_progress", "finalizing", "finalizing"),
    (batch("canceling", RUNNING, canceled=5), "cancelling", "canceling", "cancelling", "cancelling"),
    (batch("ended", THROUGH), "completed", "ended", "completed", "ended"),
    (batch("ended", CUT_OFF, canceled=5), "cancelled", "ended", "canceled", "ended"),
    (batch("ended", canceled=5, in_progress_at=None), "cancelled", "ended", "canceled", "ended"),
    (batch("ended", TOO_LATE), "expired", "ended", "expired", "ended"),
    (batch("ended", TOO_LATE, canceled=AFTER_EXPIRY), "expired", "ended", "expired", "ended"),
]


@pytest.mark.parametrize(("found", "openai_word", "anthropic_word", "unified_word", "unified_of_messages"), TABLE)
def test_each_surface_has_its_word(
    found: Batch, openai_word: str, anthropic_word: str, unified_word: str, unified_of_messages: str
) -> None:
    assert openai_status(found) == openai_word
    assert anthropic_status(found) == anthropic_word
    assert unified_status(found) == unified_word
    assert unified_status(structs.replace(found, dialect="anthropic")) == unified_of_messages


def words(alias: Any) -> set[str]:
    """List the words of an enumeration, generated or not."""
    return set(get_args(alias) if get_args(alias)[0].__class__ is str else get_args(get_args(alias)[0]))


def test_only_documented_words_leave_and_each_of_them_does() -> None:
    states = [
        batch(status, counts, canceled=canceled, dialect=dialect)
        for status, counts, canceled, dialect in product(
            get_args(BatchStatus),
            (NONE, RUNNING, THROUGH, CUT_OFF, TOO_LATE),
            (None, 5, AFTER_EXPIRY),
            get_args(Dialect),
        )
    ]
    assert {openai_status(state) for state in states} == words(openai.OpenaiBatchStatus)
    assert {anthropic_status(state) for state in states} == words(anthropic.ProcessingStatus)
    assert {unified_status(state) for state in states} == words(UnifiedStatus)


@pytest.mark.parametrize(
    ("found", "more"),
    [
        pytest.param(batch("validating"), {}, id="validating"),
        pytest.param(batch("failed"), {"failed_at": 60}, id="failed"),
        pytest.param(batch("in_progress", RUNNING), {"in_progress_at": 1}, id="in progress"),
        pytest.param(
            batch("canceling", RUNNING, canceled=5), {"in_progress_at": 1, "cancelling_at": 5}, id="cancelling"
        ),
        pytest.param(
            batch("ended", THROUGH),
            {"in_progress_at": 1, "finalizing_at": 60, "completed_at": 60},
            id="completed",
        ),
        pytest.param(
            batch("ended", CUT_OFF, canceled=5),
            {"in_progress_at": 1, "finalizing_at": 60, "cancelling_at": 5, "cancelled_at": 60},
            id="cancelled",
        ),
        pytest.param(
            batch("ended", TOO_LATE), {"in_progress_at": 1, "finalizing_at": 60, "expired_at": 60}, id="expired"
        ),
    ],
)
def test_times_are_whole_seconds_and_stand_for_what_has_been(found: Batch, more: dict[str, int]) -> None:
    expected = {name: CREATED + seconds for name, seconds in more.items()}
    assert times(found) == Times(created_at=CREATED, expires_at=CREATED + 24 * 3600, **expected)
