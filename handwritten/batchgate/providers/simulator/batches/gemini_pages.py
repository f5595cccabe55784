"""Pages of Gemini's lists: the token of a page is the number of items before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import BatchCall

T = TypeVar("T")

_MAX_PAGE = 100


def page_of(call: BatchCall, items: Sequence[T]) -> tuple[Sequence[T], str | None]:
    """Return the items of the page that a call asks for, and the token of the next page."""
    size = min(_number(call, "pageSize", 50) or 50, _MAX_PAGE)
    start = _number(call, "pageToken", 0)
    end = start + size
    return items[start:end], str(end) if end < len(items) else None


def _number(call: BatchCall, name: str, default: int) -> int:
    text = call.request.query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise RefusedError("invalid_request_error", f"{name}: {text!r} is invalid")
    return int(text)
