"""Log records as lines: for machines, one JSON object each; for people, text.

Neither shows the message of an exception that nobody foresaw, since it may quote a prompt; its type and the places that
it passed are shown.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from batchgate.engine.model.errors import loggable_text
from batchgate.engine.ports.telemetry import HTTP_REQUEST_ID

FIELDS: Final = (
    "request_id",
    "operation",
    "method",
    "path",
    "status",
    "workspace",
    "batch",
    "file",
    "key",
    "secret",
    "shard",
    "epoch",
    "seq",
    "custom_id",
    "account",
    "model",
    "outcome",
    "reason",
    "component",
    "requests",
    "bytes",
    "counts",
    "seconds",
    "url",
    "role",
    "member",
)
"""What a line may say besides its time, level, logger, action and message; anything else on a record is left out."""
IN_WORDS: Final = frozenset(
    {"operation", "method", "path", "status", "outcome", "reason", "component", "requests", "seconds", "url", "role"}
)
"""Those that messages say in words, or that people do not miss: text leaves them out."""


class JsonLines(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        told = record.__dict__
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "action": told.get("action", "log"),
            "message": record.getMessage(),
        }
        line |= _fields(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__qualname__
            line["trace"] = describe(record.exc_info[1])
        try:
            return msgspec.json.encode(line).decode()
        except (UnicodeEncodeError, TypeError):
            # A broken header leaves lone surrogates in a text, and a library may put anything on a record.
            return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """One readable line a record, with what it is about at its end, and a trace below it if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Write the line, and behind it the fields that say which batch, shard or member it is about."""
        told = {name: value for name, value in _fields(record).items() if value is not None and name not in IN_WORDS}
        return super().formatMessage(record) + "".join(f" {name}={_word(value)}" for name, value in told.items())

    def formatException(self, ei: object) -> str:  # noqa: N802
        """Write the trace of an exception."""
        error = ei[1] if isinstance(ei, tuple) else None
        return describe(error) if isinstance(error, BaseException) else ""


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Gather what a record says of the fields; the HTTP request that it belongs to is one of them."""
    told = record.__dict__
    request_id = HTTP_REQUEST_ID.get()
    found: dict[str, object] = {} if request_id is None else {"request_id": request_id}
    return found | {name: told[name] for name in FIELDS if name in told}


def _word(value: object) -> str:
    """Write a value so that it is seen where it ends: callers choose the names of models and of requests."""
    if isinstance(value, dict):
        return ",".join(f"{name}:{_word(number)}" for name, number in value.items() if number)
    text = str(value)
    plain = text.isascii() and text.isprintable() and text and not {" ", '"', "="} & set(text)
    return text if plain else json.dumps(text)


def describe(error: BaseException) -> str:
    """Say where an exception comes from, and its message only if that cannot quote a request."""
    return "".join(_lines(error, set())).rstrip("\n")


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        yield "which led to:\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{loggable_text(error)}\n"
    for part in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield "of which one is:\n"
        yield from _lines(part, seen)
