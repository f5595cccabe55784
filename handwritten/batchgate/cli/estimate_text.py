"""What a batch would need, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from batchgate.cli.duration import duration
from batchgate.cli.rendering import cut, dollars
from batchgate_api.gateway import BatchEstimate, LaneEstimate, LanePart, RequestFault

ID_WIDTH: Final = 32
MESSAGE_WIDTH: Final = 160
"""Maximum number of characters of an id and of a message."""


def error_lines(estimate: BatchEstimate) -> Iterator[str]:
    """Yield a line for each error that is known, and how many more there are."""
    for fault in estimate.errors:
        custom_id = "" if fault.custom_id is None else f" {cut(fault.custom_id, ID_WIDTH)}"
        param = "" if fault.param is None else f"{fault.param}: "
        yield f"{_place(fault)}{custom_id}: {fault.code}: {cut(param + fault.message, MESSAGE_WIDTH)}"
    if estimate.error_count > len(estimate.errors):
        yield f"and {_counted(estimate.error_count - len(estimate.errors), 'more error')}"


def estimate_lines(estimate: BatchEstimate) -> Iterator[str]:
    """Yield what the requests without errors need."""
    errors = _counted(estimate.error_count, "error") if estimate.error_count else "no errors"
    yield f"Requests    {estimate.requests:,}, {errors}"
    for model in estimate.models:
        name = "others" if model.account is None else f"{model.model} at {model.account}"
        yield f"Model       {name}: {_counted(model.requests, 'request')}"
    yield f"Input       about {estimate.input_tokens:,} tokens"
    yield f"Output      {_output(estimate)}"
    yield from _parts("Lane", estimate.lanes)
    yield from _parts("Not native", [part for part in estimate.not_native if part not in estimate.lanes])
    yield f"Direct      {_cost(estimate.direct)}, {_time(estimate.direct_seconds, 'about')}"
    if estimate.native is not None:
        yield f"Native      {_cost(estimate.native)}, {_time(estimate.native_seconds, 'within')}"


def _place(fault: RequestFault) -> str:
    if fault.line is not None:
        return f"line {fault.line}"
    return "file" if fault.index is None else f"requests.{fault.index}"


def _output(estimate: BatchEstimate) -> str:
    expected, most = estimate.expected_output_tokens, estimate.max_output_tokens
    bound = "some requests set no maximum" if most is None else f"at most {most:,} tokens"
    return bound if expected is None else f"about {expected:,} tokens, as before; {bound}"


def _parts(heading: str, parts: Sequence[LanePart]) -> Iterator[str]:
    for part in parts:
        lane = "" if part.lane == "none" else f"{part.lane}, "
        yield f"{heading:<11} {_counted(part.requests, 'request')}: {lane}{part.reason}"


def _cost(cost: LaneEstimate) -> str:
    unpriced = f" ({_counted(cost.unpriced, 'request')} without a price)" if cost.unpriced else ""
    most = "and the output" if cost.max_usd is None else f"to {dollars(cost.max_usd)}"
    expected = "" if cost.expected_usd is None else f"about {dollars(cost.expected_usd)}: "
    return f"{expected}{dollars(cost.input_usd)} {most}{unpriced}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _time(seconds: float | None, word: str) -> str:
    return "duration unknown" if seconds is None else f"{word} {duration(seconds)}"
