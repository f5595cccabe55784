"""Fireworks' rows: what fails a whole job, and the lines of the output dataset (native-lanes 2.10, 10.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.body_rows import BodyRow, RowForm, message_of, read_rows, validated
from batchgate.providers.simulator.batches.wire import LineFault, RowCall, Validation

ROLES: Final = frozenset({"system", "user", "assistant", "tool"})


def validate_rows(path: Path, model: str) -> Validation:
    """Report the rows of a dataset; one bad row fails the whole job, with a line number that is wrong."""
    rows = [*read_rows(path, _fault)]
    found = next((row.fault for row in rows if row.fault is not None), None)
    if found is None:
        return validated(rows, faults_of_rows=False, model=model)
    message = f"Dataset has a syntax error: chat dataset validation failed on {path.name}:1: {found.message}"
    return Validation(custom_ids=[], faults=(LineFault(code="INVALID_ARGUMENT", message=message),))


def _fault(_row: BodyRow, body: dict[str, Any]) -> LineFault | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return LineFault(code="", message="messages are missing")
    bad = next((message.get("role") for message in messages if message.get("role") not in ROLES), None)
    return None if bad is None else LineFault(code="", message=f"invalid role {bad} in message 1")


def _answered(call: RowCall, response: UpstreamResponse) -> bytes:
    return b'{"custom_id":%s,"response":%s}\n' % (msgspec.json.encode(call.custom_id), response.body)


def _refused(call: RowCall, response: UpstreamResponse) -> bytes:
    """Write an error row; its real form is not known."""
    error = {"message": message_of(response), "code": response.status}
    return msgspec.json.encode({"custom_id": call.custom_id, "error": error}) + b"\n"


FIREWORKS_FORM: Final = RowForm(answered=_answered, refused=_refused, unfinished=lambda *_: b"")
"""Rows that did not run are in no file."""
