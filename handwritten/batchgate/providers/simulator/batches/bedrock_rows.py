"""Bedrock's rows: ``recordId`` and ``modelInput`` in, and ``modelOutput`` or an error out (native-lanes 2.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.body_rows import BodyRow, RowForm, no_fault, read_rows, validated
from batchgate.providers.simulator.batches.wire import LineFault, RowCall, Validation

_ERRORS: Final = msgspec.json.Decoder(dict[str, Any])
_BODIES: Final = msgspec.json.Decoder(BodyRow)


class _Record(Struct):
    recordId: str | None = None  # noqa: N815 - the name on the wire
    modelInput: Raw = Raw(b"{}")  # noqa: N815 - the name on the wire


def copy_rows(source: Path, target: Path) -> int:
    """Write the records of an input as rows of the simulator, and return how many there are."""
    count = 0
    decoder = msgspec.json.Decoder(_Record)
    with source.open("rb") as lines, target.open("wb") as rows:
        for count, line in enumerate(lines, 1):
            try:
                record = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                rows.write(line)  # no row either, so the validation finds it
                continue
            record_id = f"RECORD{count:07}" if record.recordId is None else record.recordId
            row = {"custom_id": record_id, "body": record.modelInput}
            rows.write(msgspec.json.encode(row) + b"\n")
    return count


def validate_rows(path: Path, model: str, least: int) -> Validation:
    """Report the rows of a job; too few, or a line that is not JSON, fail the whole job."""
    rows = [*read_rows(path, no_fault)]
    if len(rows) < least:
        message = f"The number of records is {len(rows)}, which is less than the minimum of {least}."
        return Validation(custom_ids=[], faults=(LineFault(code="", message=message),))
    return validated(rows, faults_of_rows=True, model=model)


def _answered(call: RowCall, response: UpstreamResponse) -> bytes:
    return _line(call, b'"modelOutput":%s' % response.body)


def _refused(call: RowCall, response: UpstreamResponse) -> bytes:
    message = str(_ERRORS.decode(response.body).get("message", ""))
    error = {"errorCode": response.status, "errorMessage": message}
    return _line(call, b'"error":%s' % msgspec.json.encode(error))


def _line(call: RowCall, outcome: bytes) -> bytes:
    given = bytes(_BODIES.decode(call.line).body)
    return b'{"modelInput":%s,"recordId":%s,%s}\n' % (given, msgspec.json.encode(call.custom_id), outcome)


BEDROCK_FORM: Final = RowForm(answered=_answered, refused=_refused, unfinished=lambda *_: b"")
"""Rows that did not run have no line."""
