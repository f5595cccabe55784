"""Each API reports only documented batch statuses, with matching times."""

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
FINISHED = Counts(total=3, succeeded=2, errored=1)
CANCELED = Counts(total=3, succeeded=1, canceled=2)
EXPIRED = Counts(total=3, succeeded=1, expired=2)


def batch(status: BatchStatus, counts: Counts = NONE, *, canceled: int | None = None, **more: Any) -> Batch:
    """Make a batch; times are in seconds since its creation."""
    created = CREATED * SECOND + 999_999
    timestamps = {
        "created_at": created,
        "expires_at": created + DAY,
        "in_progress_at": None if status in {"validating", "failed"} else created + SECOND,
        "cancel_initiated_at": None if canceled is None else created + canceled * SECOND,
        "ended_at": created + 60 * SECOND if status in {"ended", "failed"} else None,
    }
    return sample_batch(status=status, counts=counts, **(timestamps | more))


AFTER_EXPIRY = 24 * 3600 + 1
TABLE = [
    (batch("validating"), "validating", "in_progress", "validating", "validating"),
    (batch("failed"), "failed", "ended", "failed", "failed"),
    (batch("in_progress", RUNNING), "in_progress", "in_progress", "in_progress", "in_progress"),
    (batch("in_progress", FINISHED), "finalizing", "in_progress", "finalizing", "finalizing"),
    (batch("canceling", RUNNING, canceled=5), "cancelling", "canceling", "cancelling", "cancelling"),
    (batch("ended", FINISHED), "completed", "ended", "completed", "ended"),
    (batch("ended", CANCELED, canceled=5), "cancelled", "ended", "canceled", "ended"),
    (batch("ended", canceled=5, in_progress_at=None), "cancelled", "ended", "canceled", "ended"),
    (batch("ended", EXPIRED), "expired", "ended", "expired", "ended"),
    (batch("ended", EXPIRED, canceled=AFTER_EXPIRY), "expired", "ended", "expired", "ended"),
]


@pytest.mark.parametrize(
    ("found", "expected_openai", "expected_anthropic", "expected_unified", "expected_messages"), TABLE
)
def test_each_api_reports_its_own_status(
    found: Batch, expected_openai: str, expected_anthropic: str, expected_unified: str, expected_messages: str
) -> None:
    assert openai_status(found) == expected_openai
    assert anthropic_status(found) == expected_anthropic
    assert unified_status(found) == expected_unified
    assert unified_status(structs.replace(found, dialect="anthropic")) == expected_messages


def values(alias: Any) -> set[str]:
    """Return the values of an enumeration, generated or not."""
    return set(get_args(alias) if get_args(alias)[0].__class__ is str else get_args(get_args(alias)[0]))


def test_exactly_the_documented_statuses_are_reported() -> None:
    states = [
        batch(status, counts, canceled=canceled, dialect=dialect)
        for status, counts, canceled, dialect in product(
            get_args(BatchStatus),
            (NONE, RUNNING, FINISHED, CANCELED, EXPIRED),
            (None, 5, AFTER_EXPIRY),
            get_args(Dialect),
        )
    ]
    assert {openai_status(state) for state in states} == values(openai.OpenaiBatchStatus)
    assert {anthropic_status(state) for state in states} == values(anthropic.ProcessingStatus)
    assert {unified_status(state) for state in states} == values(UnifiedStatus)


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
            batch("ended", FINISHED),
            {"in_progress_at": 1, "finalizing_at": 60, "completed_at": 60},
            id="completed",
        ),
        pytest.param(
            batch("ended", CANCELED, canceled=5),
            {"in_progress_at": 1, "finalizing_at": 60, "cancelling_at": 5, "cancelled_at": 60},
            id="cancelled",
        ),
        pytest.param(
            batch("ended", EXPIRED), {"in_progress_at": 1, "finalizing_at": 60, "expired_at": 60}, id="expired"
        ),
    ],
)
def test_times_are_whole_seconds_and_set_only_for_past_events(found: Batch, more: dict[str, int]) -> None:
    expected = {name: CREATED + seconds for name, seconds in more.items()}
    assert times(found) == Times(created_at=CREATED, expires_at=CREATED + 24 * 3600, **expected)
