"""Formats log records as lines: one JSON object each for machines, or text for people.

Neither shows the message of an unexpected exception, since it may quote a prompt; its type and traceback are shown.
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
"""The fields of a line besides time, level, logger, action and message; other attributes of a record are omitted."""
OMITTED_FROM_TEXT: Final = frozenset(
    {"operation", "method", "path", "status", "outcome", "reason", "component", "requests", "seconds", "url", "role"}
)
"""Fields that text lines omit, because the message contains them or people do not need them."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "action": getattr(record, "action", "log"),
            "message": record.getMessage(),
        }
        line |= _fields(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__qualname__
            line["trace"] = format_safely(record.exc_info[1])
        try:
            return msgspec.json.encode(line).decode()
        except (UnicodeEncodeError, TypeError):
            # A malformed header leaves lone surrogates in a text, and a library may set any attribute on a record.
            return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """Formats a record as one line of text that ends with its fields, and a traceback below if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line, with the fields that identify the batch, shard or member at its end."""
        fields = {name: value for name, value in _fields(record).items() if value is not None}
        shown = {name: value for name, value in fields.items() if name not in OMITTED_FROM_TEXT}
        return super().formatMessage(record) + "".join(
            f" {name}={_quote_if_needed(value)}" for name, value in shown.items()
        )

    def formatException(self, ei: object) -> str:  # noqa: N802
        """Return the traceback of an exception."""
        error = ei[1] if isinstance(ei, tuple) else None
        return format_safely(error) if isinstance(error, BaseException) else ""


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record, with the id of the current HTTP request."""
    request_id = HTTP_REQUEST_ID.get()
    found: dict[str, object] = {} if request_id is None else {"request_id": request_id}
    return found | {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}


def _quote_if_needed(value: object) -> str:
    """Return a value as text, quoted if its end would be unclear: callers choose names of models and requests."""
    if isinstance(value, dict):
        return ",".join(f"{name}:{_quote_if_needed(number)}" for name, number in value.items() if number)
    text = str(value)
    plain = text.isascii() and text.isprintable() and text and not {" ", '"', "="} & set(text)
    return text if plain else json.dumps(text)


def format_safely(error: BaseException) -> str:
    """Return the traceback of an exception; its message only if that cannot quote a request."""
    return "".join(_exception_lines(error, set())).rstrip("\n")


def _exception_lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        yield from _exception_lines(cause, seen)
        yield "which caused:\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{loggable_text(error)}\n"
    for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield "one of its exceptions:\n"
        yield from _exception_lines(member, seen)
