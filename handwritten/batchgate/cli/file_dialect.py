"""Finds out what the requests of a file are, by its first line."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw

from batchgate.cli.failures import SubmissionRefused
from batchgate.cli.request_lines import MESSAGES_LINE, OPENAI_LINE
from batchgate.cli.submission import is_document
from batchgate.tables.opening import FORMATS

FileDialect: TypeAlias = Literal["messages", "openai"]
"""Messages, or what OpenAI's and the unified API take."""

REQUEST_FIELDS: Final = frozenset({"custom_id", "params", "body", "method", "url"})
MOST_NAMED: Final = 8
_TABLE_LINE: Final = re.compile(rb"[^{\[\s][^,;\t]*[,;\t]")
"""A line with several cells."""
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def dialect_of(start: bytes, name: str) -> FileDialect:
    """Return the dialect of a file that begins so; raises `SubmissionRefused` for none, and for a table of columns.

    What is no request is left to the check of each line.
    """
    first, newline, _ = start.lstrip().partition(b"\n")
    if not first:
        raise SubmissionRefused(f"the file is empty: a request is a line such as {MESSAGES_LINE} or {OPENAI_LINE}")
    if not first.startswith(b"{"):
        _refuse_table(first, name)
        return "messages"
    fields = None if is_document(start) or not newline else _fields(first)
    if fields is None:  # one document, or a long line: its beginning tells
        return "openai" if b'"body"' in start and b'"params"' not in start else "messages"
    if not fields & (REQUEST_FIELDS | {"messages"}) and fields:
        raise SubmissionRefused(_columns_text(fields, name))
    return "openai" if "body" in fields else "messages"


def _fields(line: bytes) -> frozenset[str] | None:
    try:
        return frozenset(_FIELDS.decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()


def _refuse_table(first: bytes, name: str) -> None:
    suffix = next((suffix for suffix in FORMATS if name.lower().endswith(suffix) and "json" not in suffix), None)
    if suffix is not None or _TABLE_LINE.match(first):
        raise SubmissionRefused(
            f"line 1 is no request but looks like the columns of a table. To ask a model about each row: "
            f"batchgate run {name if suffix else 'FILE.csv'} --prompt 'Summarise: {{COLUMN}}' --model MODEL"
        )


def _columns_text(fields: frozenset[str], name: str) -> str:
    named = ", ".join(sorted(fields)[:MOST_NAMED])
    file = "FILE.jsonl" if name == "<stdin>" else name
    return (
        f"line 1 is no request: it has the fields {named}, and a request has custom_id with params (Messages) or with "
        f"method, url and body (OpenAI). If the fields are columns: batchgate run {file} "
        f"--prompt '{{{min(fields)}}}' --model MODEL"
    )
