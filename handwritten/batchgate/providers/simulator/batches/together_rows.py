"""Together's rows: their validation after the create, and the lines of result files (native-lanes 2.9, 10.2)."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.body_rows import BodyRow, RowForm, message_of, read_rows, validated
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.wire import LineFault, RowCall, Validation


def validate_rows(path: Path, settings: BatchSettings) -> Validation:
    """Report the rows of a file; a line that is not JSON or a model that is not served fails the whole job."""
    rows = [*read_rows(path, _fault)]
    found = validated(rows, faults_of_rows=True)
    for index, row in enumerate(rows):
        if row.fault is not None and row.fault.code == "invalid_json":
            return _failed(
                f"Failed to calculate tokens: input format error: Line {index + 1} (within chunk): Invalid JSON format"
            )
        if row.model is not None and settings.models is not None and row.model not in settings.models:
            return _failed(f"Invalid model ID: Unable to access non-serverless model {row.model}")
    return found


def _failed(message: str) -> Validation:
    return Validation(custom_ids=[], faults=(LineFault(code="", message=message),))


def _fault(_row: BodyRow, body: dict[str, Any]) -> LineFault | None:
    if isinstance(body.get("model"), str):
        return None
    return LineFault(code="batch_client_error", message="missing 'model' field in body or not a string")


def _answered(call: RowCall, response: UpstreamResponse) -> bytes:
    body = msgspec.json.decode(response.body, type=dict[str, Any]) | {"prompt": [], "metadata": {}}
    for choice in body.get("choices", ()):
        choice["message"] |= {"tool_calls": []}
    return _line(call, {"response": {"status_code": response.status, "body": body}})


def _refused(call: RowCall, response: UpstreamResponse) -> bytes:
    return _line(call, {"error": {"code": "batch_client_error", "message": message_of(response)}})


def _line(call: RowCall, content: dict[str, Any]) -> bytes:
    token = blake2b(f"{call.job_id} {call.index}".encode(), digest_size=12).hexdigest()
    return msgspec.json.encode({"id": f"br_{token}", "custom_id": call.custom_id, **content}) + b"\n"


TOGETHER_FORM: Final = RowForm(answered=_answered, refused=_refused, unfinished=lambda *_: b"")
"""Rows that did not run are in no file."""
