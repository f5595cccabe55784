"""Formats log records as lines: one JSON object each for machines, or text for people.

Neither shows the message of an unexpected exception, since it may quote a prompt; its type and traceback are shown.
"""

from __future__ import annotations

import json
import logging
import re
import time
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
    "blob",
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
_PLAIN: Final = re.compile(r"[!#-<>-~]+")
"""Printable ASCII without quotes and equal signs."""


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
        super().__init__()
        self._second: tuple[int, str] = (-1, "")
        """The last second that was formatted, and its text."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Return the local time with milliseconds; formatting a second once saves a fifth of the time of a line."""
        second = int(record.created)
        if second != self._second[0]:
            self._second = second, time.strftime(self.default_time_format, self.converter(second))
        return f"{self._second[1]},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the fields that identify the batch, shard or member at its end."""
        shown = [
            f" {name}={_quote_if_needed(value)}"
            for name, value in _fields(record).items()
            if value is not None and name not in OMITTED_FROM_TEXT
        ]
        error = record.exc_info[1] if record.exc_info else None
        below = "" if error is None else f"\n{format_safely(error)}"
        line = f"{self.formatTime(record)} {record.levelname:7} {record.name}: {record.getMessage()}"
        return f"{line}{''.join(shown)}{below}"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record, with the id of the current HTTP request."""
    request_id = HTTP_REQUEST_ID.get()
    found: dict[str, object] = {} if request_id is None else {"request_id": request_id}
    attributes = record.__dict__
    return found | {name: attributes[name] for name in FIELDS if name in attributes}


def _quote_if_needed(value: object) -> str:
    """Return a value as text, quoted if its end would be unclear: callers choose names of models and requests."""
    if isinstance(value, dict):
        return ",".join(f"{name}:{_quote_if_needed(number)}" for name, number in value.items() if number)
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


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
