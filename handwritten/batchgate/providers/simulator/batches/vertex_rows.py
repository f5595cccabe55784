"""Vertex AI's rows: their import as a table, and the lines of results (native-lanes 2.4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.body_rows import BodyRow, RowForm, no_fault, read_rows, validated
from batchgate.providers.simulator.batches.wire import LineFault, RowCall, Validation

IMPORT_FAILED: Final = "3"
_MAX_DEPTH: Final = 15
_BODIES: Final = msgspec.json.Decoder(BodyRow)
_SCHEMAS: Final = ("responseSchema", "responseJsonSchema")
_UNFIT_NAME: Final = re.compile(r"\$|\s")


class _Line(Struct):
    custom_id: str | None = None
    request: Raw = Raw(b"{}")


_LINES: Final = msgspec.json.Decoder(_Line)


class _ImportError(Exception):
    """The rows are no table; the text says why."""


def copy_rows(source: Path, target: Path) -> None:
    """Write the rows of an input as rows of the simulator; ids that look like numbers become numbers."""
    with source.open("rb") as lines, target.open("wb") as rows:
        for line in lines:
            try:
                read = _LINES.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                rows.write(line)  # no row either, so the validation finds it
                continue
            custom_id = read.custom_id or ""
            shown = str(int(custom_id)) if custom_id.isascii() and custom_id.isdigit() else read.custom_id
            rows.write(msgspec.json.encode({"custom_id": shown, "body": read.request}) + b"\n")


def validate_rows(path: Path, model: str, *, as_table: bool) -> Validation:
    """Report the rows of a job; rows that are no table, or a line that is no row, fail the whole job."""
    rows = [*read_rows(path, no_fault)]
    found = validated(rows, faults_of_rows=True, model=model)
    if not as_table or found.faults:
        return found
    try:
        _check_table(path)
    except _ImportError as problem:
        fault = LineFault(code=IMPORT_FAILED, message=f"Failed to import data. {problem}")
        return Validation(custom_ids=[], faults=(fault,))
    return found


def _check_table(path: Path) -> None:
    types: dict[str, str] = {}
    schemas: set[bytes] = set()
    with path.open("rb") as lines:
        for line in lines:
            body = msgspec.json.decode(_BODIES.decode(line).body)
            _check_column(body, "request", 1, types)
            config = body.get("generationConfig") or {}
            schemas.add(msgspec.json.encode([config.get(name) for name in _SCHEMAS], order="sorted"))
    if len(schemas) > 1:
        raise _ImportError("The rows have different response schemas.")


def _check_column(value: Any, path: str, depth: int, types: dict[str, str]) -> None:
    """Check that a value fits into its column, whose type is that of the first row."""
    kind = type(value).__name__
    if value is None:
        return
    if types.setdefault(path, kind) != kind and {types[path], kind} != {"int", "float"}:
        raise _ImportError(f"{path} is {types[path]} in one place and {kind} in another.")
    if isinstance(value, list):
        if any(item is None or isinstance(item, list) for item in value):
            raise _ImportError(f"{path} has a null or a list in a list.")
        for item in value:
            _check_column(item, f"{path}[]", depth, types)
    elif isinstance(value, dict):
        if depth > _MAX_DEPTH or not value:
            raise _ImportError(f"{path} is too deep or empty.")
        for name, item in value.items():
            if _UNFIT_NAME.search(name):
                raise _ImportError(f"{path} has the invalid name {name!r}.")
            _check_column(item, f"{path}.{name}", depth + 1, types)


def _answered(call: RowCall, response: UpstreamResponse) -> bytes:
    return _line(call, b'"status":"","response":%s' % response.body)


def _refused(call: RowCall, response: UpstreamResponse) -> bytes:
    status = f"{HTTPStatus(response.status).phrase}: {response.body.decode()}"
    return _line(call, b'"status":%s' % msgspec.json.encode(status))


def _line(call: RowCall, outcome: bytes) -> bytes:
    given = bytes(_BODIES.decode(call.line).body)
    when = datetime.now(UTC).isoformat()
    return b'{"custom_id":%s,"processed_time":%s,"request":%s,%s}\n' % (
        msgspec.json.encode(call.custom_id),
        msgspec.json.encode(when),
        given,
        outcome,
    )


VERTEX_FORM: Final = RowForm(answered=_answered, refused=_refused, unfinished=lambda *_: b"")
"""Rows that did not run have no line."""
