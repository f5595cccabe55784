"""Formats log records as lines: one JSON object each for machines, or text for people.

Neither shows the message of an unexpected exception, since it may quote a prompt; its type and traceback are shown.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from batchgate.engine.model.errors import loggable_text
from batchgate.engine.ports.telemetry import HTTP_REQUEST_ID, LOG_ENTRIES, LogEntry

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
    "webhook",
    "event",
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
_ALLOWED: Final = frozenset(FIELDS)
OMITTED_FROM_TEXT: Final = frozenset(
    {"operation", "method", "path", "status", "outcome", "reason", "component", "requests", "seconds", "url", "role"}
)
"""Fields that text lines omit, because the message contains them or people do not need them."""
_SHOWN_IN_TEXT: Final = _ALLOWED - OMITTED_FROM_TEXT
_PLAIN: Final = re.compile(r"[!#-<>-~]+")
"""Printable ASCII without quotes and equal signs."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object, or as one for each of its entries."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, or the lines of its entries."""
        return "\n".join([self._line(record, entry) for entry in _entries(record)])

    def _line(self, record: logging.LogRecord, entry: LogEntry) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(entry.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "action": getattr(record, "action", "log"),
            "message": entry.message,
            **{name: value for name, value in entry.fields.items() if name in _ALLOWED},
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__qualname__
            line["trace"] = format_safely(record.exc_info[1])
        try:
            return msgspec.json.encode(line).decode()
        except (UnicodeEncodeError, TypeError):
            # A malformed header leaves lone surrogates in a text, and a library may set any attribute on a record.
            return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """Formats a record as lines of text that end with their fields, and a traceback below if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._second: tuple[int, str] = (-1, "")
        """The last second that was formatted, and its text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, or the lines of its entries."""
        lines = [self._line(record, entry) for entry in _entries(record)]
        if record.exc_info and record.exc_info[1] is not None:
            lines.append(format_safely(record.exc_info[1]))
        return "\n".join(lines)

    def _line(self, record: logging.LogRecord, entry: LogEntry) -> str:
        """Return a line, with the fields that identify the batch, shard or member at its end."""
        shown = [
            f" {name}={_quote_if_needed(value)}"
            for name, value in entry.fields.items()
            if name in _SHOWN_IN_TEXT and value is not None
        ]
        return f"{self._time(entry.created)} {record.levelname:7} {record.name}: {entry.message}{''.join(shown)}"

    def _time(self, created: float) -> str:
        """Return the local time with milliseconds; formatting a second once saves a fifth of the time of a line."""
        second = int(created)
        if second != self._second[0]:
            self._second = second, time.strftime(self.default_time_format, self.converter(second))
        return f"{self._second[1]},{int(created % 1 * 1000):03d}"


def _entries(record: logging.LogRecord) -> Sequence[LogEntry]:
    """Return the entries of a record; most have one, with the attributes and the id of the current HTTP request."""
    entries: Sequence[LogEntry] | None = getattr(record, LOG_ENTRIES, None)
    if entries is not None:
        return entries
    attributes, request_id = record.__dict__, HTTP_REQUEST_ID.get()
    fields: dict[str, object] = {} if request_id is None else {"request_id": request_id}
    fields |= {name: attributes[name] for name in FIELDS if name in attributes}
    return (LogEntry(record.created, record.getMessage(), fields),)


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
