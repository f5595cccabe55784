"""xAI's rows: OpenAI's lines, and results that are elements of pages (native-lanes 2.11)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.body_rows import RowForm, message_of, no_fault, read_rows, validated
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.wire import LineFault, RowCall, Validation


def validate_rows(path: Path, settings: BatchSettings) -> Validation:
    """Report the rows of a file; a line that is not JSON or a model without batches fails the whole job."""
    rows = [*read_rows(path, no_fault)]
    for number, row in enumerate(rows, 1):
        if row.fault is not None:
            return _failed(f"JSONL file validation failed: line {number}: {row.fault.message}")
        if settings.models is not None and row.model not in settings.models:
            return _failed(f"Model {row.model} is not supported for batch processing.")
    return structs.replace(validated(rows, faults_of_rows=True), model=None)


def _failed(message: str) -> Validation:
    return Validation(custom_ids=[], faults=(LineFault(code="", message=message),))


def _answered(call: RowCall, response: UpstreamResponse) -> bytes:
    return _line(call, b'{"response":{"chat_get_completion":%s}}' % response.body)


def _refused(call: RowCall, response: UpstreamResponse) -> bytes:
    return _line(call, b'{"error":%s}' % msgspec.json.encode(message_of(response)))


def _line(call: RowCall, result: bytes) -> bytes:
    return b'{"batch_request_id":%s,"batch_result":%s}\n' % (msgspec.json.encode(call.custom_id), result)


XAI_FORM: Final = RowForm(
    answered=_answered, refused=_refused, unfinished=lambda call, _: _line(call, b'{"error":"Batch cancelled"}')
)
"""An error is a text, also that of a row that did not run."""
