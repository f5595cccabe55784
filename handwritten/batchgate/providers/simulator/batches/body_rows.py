"""Rows of the form ``{"custom_id", "body"}``: their validation, and the answers of the simulated model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.row_model import RowModel, tokens_of
from batchgate.providers.simulator.batches.wire import (
    JobRules,
    LineFault,
    RowAnswer,
    RowCall,
    Unfinished,
    Validation,
)
from batchgate.providers.simulator.dialects import CHARACTERS_PER_TOKEN


class BodyRow(Struct):
    """A line of an input file."""

    custom_id: object = None
    body: msgspec.Raw = msgspec.Raw(b"{}")
    url: object = None


RowCheck: TypeAlias = Callable[[BodyRow, dict[str, Any]], LineFault | None]
"""Returns the fault of a row, of which the body is decoded too; its line number is added later."""

_ROWS: Final = msgspec.json.Decoder(BodyRow)
_BODIES: Final = msgspec.json.Decoder(dict[str, Any])
_ERRORS: Final = msgspec.json.Decoder(dict[str, Any])


class FoundRow(Struct, frozen=True):
    """A line of an input file, and what is wrong with it."""

    custom_id: str | None
    model: str | None
    tokens: int
    fault: LineFault | None


def read_rows(path: Path, check: RowCheck) -> Iterator[FoundRow]:
    """Yield the rows of an input file; a line that is no row has the fault ``invalid_json``."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                row = _ROWS.decode(line)
                body = _BODIES.decode(row.body)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield FoundRow(None, None, 0, LineFault(code="invalid_json", message=f"Invalid JSON: {error}"))
                continue
            custom_id, model = row.custom_id, body.get("model")
            yield FoundRow(
                custom_id if isinstance(custom_id, str) else None,
                model if isinstance(model, str) else None,
                len(line) // CHARACTERS_PER_TOKEN,
                check(row, body),
            )


def no_fault(_row: BodyRow, _body: dict[str, Any]) -> None:
    """Accept a row."""


def validated(rows: list[FoundRow], *, faults_of_rows: bool, model: str | None = None) -> Validation:
    """Return what the rows of a file come to; their faults fail the whole job, or are errors of their rows."""
    faults = {index: row.fault for index, row in enumerate(rows) if row.fault is not None}
    broken = [fault for fault in faults.values() if fault.code == "invalid_json" or not faults_of_rows]
    return Validation(
        custom_ids=[row.custom_id for row in rows],
        tokens=sum(row.tokens for row in rows),
        model=model or next((row.model for row in rows if row.model is not None), None),
        faults=tuple(broken),
        row_faults=faults,
    )


class RowForm(Struct, frozen=True, kw_only=True):
    """How a provider writes the results of rows; a row without a line has no result."""

    answered: Callable[[RowCall, UpstreamResponse], bytes]
    refused: Callable[[RowCall, UpstreamResponse], bytes]
    """Writes an answer with a status that is not 200."""
    unfinished: Callable[[RowCall, Unfinished], bytes]


class BodyWire:
    """The wire of one job."""

    def __init__(
        self,
        model: RowModel,
        form: RowForm,
        validate: Callable[[Path], Validation],
        *,
        endpoint: str,
        job_model: str | None = None,
        rules: JobRules | None = None,
    ) -> None:
        self.rules: JobRules = rules or JobRules()
        self._model = model
        self._form = form
        self._validate = validate
        self._endpoint = endpoint
        self._job_model = job_model
        """The model that answers all rows, if it is not the one of each row."""

    def validate(self, path: Path) -> Validation:
        """Read an input file and report its rows and faults."""
        return self._validate(path)

    def answer(self, call: RowCall) -> RowAnswer:
        """Answer a row by the simulated model."""
        response = self._response(call)
        if response.status != 200:
            return RowAnswer(line=self._form.refused(call, response), succeeded=False)
        tokens = tokens_of(response.body)
        line = self._form.answered(call, response)
        return RowAnswer(line=line, succeeded=True, input_tokens=tokens[0], output_tokens=tokens[1])

    def unfinished_line(self, call: RowCall, state: Unfinished) -> bytes:
        """Return the line for a row that was never run."""
        return self._form.unfinished(call, state)

    def failure(self, code: str, model: str | None) -> LineFault:
        """Return the fault of a job that fails with a code."""
        return LineFault(code=code, message=f"The job of {model} failed: {code}.")

    def _response(self, call: RowCall) -> UpstreamResponse:
        if call.fault is not None:
            error = {"error": {"message": call.fault.message, "code": call.fault.code, "param": call.fault.param}}
            return UpstreamResponse(status=400, headers={}, body=msgspec.json.encode(error))
        row = _ROWS.decode(call.line)
        body = bytes(row.body)
        if self._job_model is not None:
            body = msgspec.json.encode(_BODIES.decode(body) | {"model": self._job_model})
        return self._model.ask(row.url if isinstance(row.url, str) else self._endpoint, body)


def message_of(response: UpstreamResponse) -> str:
    """Return the message of an error of the simulated model."""
    return str(_ERRORS.decode(response.body)["error"]["message"])
