"""Why a call was made again, and how `batchgate show` prints it."""

import pytest

from batchgate.cli.rendering import retried_text
from batchgate.engine.model.errors import ErrorKind, NoUpstreamAnswer, UpstreamError, UpstreamUnreachable
from batchgate.engine.model.retried_calls import RetriedCallReason, reason_of
from batchgate_api.gateway import RetriedCalls


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("rate_limit_error", 429, "rate_limit"),
        ("overloaded_error", 529, "overloaded"),
        ("overloaded_error", 503, "overloaded"),
        ("api_error", 502, "server_error"),
        ("timeout_error", 504, "timeout"),
        ("billing_error", 402, "account_rejected"),
        ("conflict_error", 409, "other"),
    ],
)
def test_the_reason_is_that_of_the_error(kind: ErrorKind, status: int, reason: RetriedCallReason) -> None:
    assert reason_of(UpstreamError(kind, "m", status=status, retry_safe=True)) == reason


def test_calls_without_an_answer_timed_out_or_had_no_connection() -> None:
    assert reason_of(NoUpstreamAnswer("timeout_error", "m", status=0, retry_safe=True)) == "timeout"
    assert reason_of(NoUpstreamAnswer("api_error", "broke", status=0, retry_safe=True)) == "connection"
    assert reason_of(UpstreamUnreachable("timeout_error", "m", status=0, retry_safe=True)) == "connection"


def test_show_prints_how_many_calls_were_made_again_and_why() -> None:
    assert retried_text([]) is None
    assert retried_text([RetriedCalls(reason="connection", count=1)]) == "1 call: 1 connection"
    retried = [RetriedCalls(reason="rate_limit", count=1200), RetriedCalls(reason="server_error", count=3)]
    assert retried_text(retried) == "1,203 calls: 1,200 rate limit, 3 server error"
