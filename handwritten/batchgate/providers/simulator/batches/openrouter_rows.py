"""OpenRouter's rows: what fails a whole job, and the elements of ``results`` (native-lanes 2.13, 10.2)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.body_rows import BodyRow, RowForm, message_of, read_rows, validated
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.wire import LineFault, RowCall, Validation

_DATA_URL: Final = re.compile(r"\bdata:[\w/.+-]+;base64,")


def validate_rows(path: Path, settings: BatchSettings) -> Validation:
    """Report the rows; one that cannot be run fails all before any runs."""

    def check(row: BodyRow, body: dict[str, Any]) -> LineFault | None:
        if settings.models is not None and body.get("model") not in settings.models:
            return LineFault(code="", message=f"Model {body.get('model')!r} does not have a :batch endpoint")
        if _DATA_URL.search(str(body.get("messages"))):
            return LineFault(code="", message=f"{row.custom_id}: only public URLs are supported")
        return None

    return validated([*read_rows(path, check)], faults_of_rows=False)


def _answered(call: RowCall, response: UpstreamResponse) -> bytes:
    """Write an answer; each choice says how its provider calls the reason for its end."""
    body = msgspec.json.decode(response.body, type=dict[str, Any])
    for choice in body.get("choices", ()):
        choice["native_finish_reason"] = choice["finish_reason"]
    answer = {"status_code": response.status, "request_id": response.headers["x-request-id"], "body": body}
    return _line(call, msgspec.json.encode(answer), b"null")


def _refused(call: RowCall, response: UpstreamResponse) -> bytes:
    error = {"type": "invalid_request_error", "message": message_of(response), "param": None}
    return _line(call, b"null", msgspec.json.encode(error))


def _line(call: RowCall, response: bytes, error: bytes) -> bytes:
    return b'{"id":"simulated-%s","custom_id":%s,"response":%s,"error":%s}\n' % (
        (call.custom_id or "").encode(),
        msgspec.json.encode(call.custom_id),
        response,
        error,
    )


OPENROUTER_FORM: Final = RowForm(answered=_answered, refused=_refused, unfinished=lambda *_: b"")
"""Rows that did not run have no result: only a completed job has any."""
