"""The report of a batch's end: failures by kind, cost, duration, and the next command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchgate.cli.connection import Connection
from batchgate.cli.duration import duration
from batchgate.cli.failed_lines import failed_lines
from batchgate.cli.run_report import end_line, print_failures
from batchgate_api.anthropic import MessageBatch, RequestCounts
from batchgate_api.gateway import BatchProgress, BatchSpend, BatchTokens, FailureGroup

CONNECTION = Connection("http://127.0.0.1:8080")
BATCH = MessageBatch(
    id="msgbatch_1",
    type="message_batch",
    processing_status="ended",
    request_counts=RequestCounts(processing=0, succeeded=0, errored=0, canceled=0, expired=0),
    ended_at="2026-10-21T07:37:03.000000Z",
    created_at="2026-10-21T07:28:00.000000Z",
    expires_at="2026-10-22T07:28:00.000000Z",
    archived_at=None,
    cancel_initiated_at=None,
    results_url=None,
)


def group(
    count: int, kind: Any = "api_error", message: str | None = "m", ids: tuple[str, ...] = ("a",)
) -> FailureGroup:
    return FailureGroup(kind=kind, message=message, count=count, custom_ids=list(ids), example="e")


def progress(total: int, succeeded: int, *failures: FailureGroup, **more: Any) -> BatchProgress:
    spent = BatchSpend(direct_usd=0.0, native_usd=0.0, saved_usd=0.0, unpriced=0)
    given: dict[str, Any] = {
        "reused": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
        "spent": spent,
        "status": "ended",
    } | more
    return BatchProgress(
        id="msgbatch_1",
        total=total,
        succeeded=succeeded,
        repeated=0,
        paused=None,
        last_refusal=None,
        concurrency=[],
        lanes=[],
        jobs=[],
        paid_twice=0,
        tokens=BatchTokens(input=0, cached_input=0, output=0, reasoning=0),
        forecast=None,
        failures=list(failures),
        name=None,
        parent=None,
        metadata=None,
        reuses=None,
        budget_usd=None,
        priority="normal",
        priority_scope="workspace",
        concurrency_cap=None,
        retried_calls=[],
        **given,
    )


def test_the_line_has_counts_by_kind_cost_duration_and_the_next_command() -> None:
    spent = BatchSpend(direct_usd=0.2, native_usd=0.05, saved_usd=0.05, unpriced=0)
    failures = (group(112, "invalid_request_error"), group(60), group(4), group(9, "expired"))
    ended = progress(2000, 1815, *failures, errored=176, expired=9, spent=spent)
    assert end_line(CONNECTION, BATCH, ended, Path("out.jsonl")) == (
        "1,815 of 2,000 requests succeeded, 185 did not (112 invalid_request_error, 64 api_error, 9 expired), "
        "$0.25, 9 min 3 s. Results: out.jsonl; to retry the others: batchgate retry msgbatch_1"
    )


def test_failures_that_are_in_no_group_are_counted_by_their_result() -> None:
    ended = progress(9, 2, group(1), errored=3, canceled=4)
    line = end_line(CONNECTION, BATCH, ended, Path("-"))
    assert line.startswith("2 of 9 requests succeeded, 7 did not (4 canceled, 2 errored, 1 api_error), 9 min 3 s. ")
    assert "Results" not in line


def test_the_line_has_the_number_of_reused_results() -> None:
    line = end_line(CONNECTION, BATCH, progress(1500, 1500, reused=1200), None)
    assert line.startswith("All 1,500 requests succeeded, 1,200 reused, 9 min 3 s.")


def test_the_table_is_bounded_in_rows_and_width(capsys: pytest.CaptureFixture[str]) -> None:
    print_failures([])
    print_failures([group(12345, message="m" * 400, ids=("i" * 99,) * 5), *[group(2, message=None)] * 20])
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 12
    assert all(len(line) < 200 for line in table)
    assert table[1].startswith("12,345  api_error  mmm")
    assert "(other messages)" in table[2]
    assert table[-1] == "and 11 more groups"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.42, "0.4 s"), (59.7, "1 min"), (543, "9 min 3 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_the_lines_that_failed_are_picked_wherever_pieces_end(size: int) -> None:
    kinds = ["errored", "succeeded", "succeeded", "expired", "succeeded"]
    lines = [b'{"custom_id":"r","result":{"type":"%s"}}\n' % kind.encode() for kind in kinds]
    content = b"".join(lines)

    async def pieces() -> Any:
        for start in range(0, len(content), size):
            yield content[start : start + size]

    assert b"".join([line async for line in failed_lines(pieces())]) == lines[0] + lines[3]


async def test_lines_of_openais_format_failed_without_a_response_or_with_an_error_status() -> None:
    responses = [b'{"status_code":200,"body":{}}', b'{"status_code":404,"body":{}}', b"null"]
    lines = [b'{"custom_id":"r","response":%s,"error":null}\n' % response for response in responses]

    async def pieces() -> Any:
        yield b"".join(lines)

    assert [line async for line in failed_lines(pieces())] == lines[1:]
