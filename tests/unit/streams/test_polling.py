"""Polls come often at first and then seldom, survive what passes, and end in time."""

from itertools import pairwise
from typing import Any

import pytest

from batchgate_client.models import BatchProgress, BatchSpend, BatchTokens
from batchgate_streams.errors import ConnectionFailed, GatewayRefused, Refusal, WaitTimedOut
from batchgate_streams.outage import MAX_OUTAGE
from batchgate_streams.polling import Polling

SPENT, TOKENS = BatchSpend(0, 0, 0, 0), BatchTokens(0, 0, 0, 0)


def progress(status: Any = "in_progress") -> BatchProgress:
    return BatchProgress(
        "b",
        status,
        10,
        0,
        0,
        0,
        0,
        0,
        None,
        None,
        [],
        [],
        [],
        0,
        SPENT,
        None,
        TOKENS,
        None,
        [],
        None,
        None,
        None,
        "normal",
        "workspace",
        None,
        None,
        0,
        [],
    )


def refusal(status: int, retry_after: float | None = None) -> GatewayRefused:
    return GatewayRefused(Refusal(status=status, message="no", retry_after=retry_after))


def test_pauses_grow_to_the_one_asked_for() -> None:
    polling = Polling(poll=2, timeout=None, now=0)
    pauses = [polling.answered(progress(), 0) for _ in range(20)]
    assert pauses[0] == 0.1
    assert pauses[-1] == 2
    assert all(shorter <= longer for shorter, longer in pairwise(pauses))
    assert Polling(poll=0.01, timeout=None, now=0).answered(progress(), 0) == 0.01


@pytest.mark.parametrize("poll", [0, -1])
def test_a_pause_that_is_none_is_refused(poll: float) -> None:
    with pytest.raises(ValueError, match="poll: a positive number of seconds"):
        Polling(poll=poll, timeout=None, now=0)


def test_the_time_ends_with_what_is_known_last() -> None:
    polling = Polling(poll=2, timeout=3, now=10)
    assert polling.answered(progress(), 12.95) == pytest.approx(0.05)
    with pytest.raises(WaitTimedOut, match=r"not ended after 3 s: it is in_progress") as timed_out:
        polling.answered(progress(), 13)
    assert timed_out.value.progress == progress()


def test_the_time_ends_when_nobody_answers_too() -> None:
    polling = Polling(poll=2, timeout=3, now=0)
    assert polling.poll_timeout(0) == 3
    assert polling.failed(ConnectionFailed("gone"), 2) == 1
    with pytest.raises(WaitTimedOut, match="its progress is unknown") as timed_out:
        polling.failed(ConnectionFailed("gone"), 3)
    assert timed_out.value.progress is None
    assert isinstance(timed_out.value.__cause__, ConnectionFailed)


@pytest.mark.parametrize("error", [ConnectionFailed("gone"), refusal(429), refusal(500), refusal(503), refusal(529)])
def test_what_passes_is_survived_for_a_while(error: ConnectionFailed | GatewayRefused) -> None:
    polling = Polling(poll=2, timeout=None, now=0)
    assert polling.failed(error, 100) == 2
    assert polling.failed(error, 100 + MAX_OUTAGE - 2) == 2
    with pytest.raises(type(error)):
        polling.failed(error, 100 + MAX_OUTAGE - 1)


def test_an_answer_renews_the_patience() -> None:
    polling = Polling(poll=2, timeout=None, now=0)
    polling.failed(refusal(503), 0)
    polling.answered(progress(), MAX_OUTAGE)
    assert polling.failed(refusal(503), MAX_OUTAGE + 1) == 2


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 405])
def test_what_does_not_pass_is_raised_at_once(status: int) -> None:
    with pytest.raises(GatewayRefused):
        Polling(poll=2, timeout=None, now=0).failed(refusal(status), 0)


def test_the_gateway_s_own_wait_is_kept_to() -> None:
    polling = Polling(poll=2, timeout=None, now=0)
    assert polling.failed(refusal(503, retry_after=7), 0) == 7
    assert polling.failed(refusal(503, retry_after=1), 7) == 2
    with pytest.raises(GatewayRefused):
        polling.failed(refusal(503, retry_after=MAX_OUTAGE), 9)
