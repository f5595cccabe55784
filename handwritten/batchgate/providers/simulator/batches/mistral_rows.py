"""Mistral's rows: what an upload refuses, and the lines of result files (native-lanes 2.7, 10.2)."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.body_rows import (
    BodyRow,
    RowForm,
    message_of,
    no_fault,
    read_rows,
    validated,
)
from batchgate.providers.simulator.batches.wire import LineFault, RowCall, Validation

ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
MAX_TEMPERATURE: Final = 1.5


def faults_of_file(path: Path) -> list[dict[str, Any]]:
    """Return the faults of the lines of a file, in the form of Pydantic."""
    return [
        {"type": row.fault.code, "loc": [index, *(row.fault.param or "").split(".")], "msg": row.fault.message}
        for index, row in enumerate(read_rows(path, _fault))
        if row.fault is not None
    ]


def _fault(_row: BodyRow, body: dict[str, Any]) -> LineFault | None:
    messages, temperature, tokens = (body.get(name) for name in ("messages", "temperature", "max_tokens"))
    if messages == []:
        return _bad("too_short", "body.messages", "List should have at least 1 item after validation, not 0")
    if isinstance(messages, list) and any(message.get("role") not in ROLES for message in messages):
        return _bad("union_tag_invalid", "body.messages", "Input tag does not match any of the expected tags")
    if isinstance(temperature, int | float) and temperature > MAX_TEMPERATURE:
        return _bad("less_than_equal", "body.temperature", "Input should be less than or equal to 1.5")
    if isinstance(tokens, int) and tokens < 0:
        return _bad("greater_than_equal", "body.max_tokens", "Input should be greater than or equal to 0")
    return None


def _bad(code: str, param: str, message: str) -> LineFault:
    return LineFault(code=code, message=message, param=param)


def validate_rows(path: Path, model: str | None) -> Validation:
    """Report the rows of a file, which its upload has checked; ids may be doubled or missing."""
    return validated([*read_rows(path, no_fault)], faults_of_rows=True, model=model)


def _answered(call: RowCall, response: UpstreamResponse) -> bytes:
    return _line(call, response.status, response.body)


def _refused(call: RowCall, response: UpstreamResponse) -> bytes:
    """Write an error, whose body is a text with JSON inside."""
    error = {
        "object": "error",
        "message": message_of(response),
        "type": "invalid_request_file",
        "param": None,
        "code": "3310",
        "raw_status_code": response.status,
    }
    return _line(call, response.status, msgspec.json.encode(msgspec.json.encode(error).decode()))


def _line(call: RowCall, status: int, body: bytes) -> bytes:
    token = blake2b(call.job_id.encode(), digest_size=8).hexdigest()
    return b'{"id":"batch-%s-%s-%d","custom_id":%s,"response":{"status_code":%d,"body":%s},"error":null}\n' % (
        token[:8].encode(),
        token[8:].encode(),
        call.index,
        msgspec.json.encode(call.custom_id),
        status,
        body,
    )


MISTRAL_FORM: Final = RowForm(answered=_answered, refused=_refused, unfinished=lambda *_: b"")
"""Rows that did not run are in no file."""
