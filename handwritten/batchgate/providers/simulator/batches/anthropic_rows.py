"""Anthropic's wire of a batch job: the lines of its results (native-lanes 2.5, 10.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.providers.simulator.batches.row_model import RowModel, tokens_of
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.wire import (
    JobRules,
    LineFault,
    RowAnswer,
    RowCall,
    Unfinished,
    Validation,
)

PATH: Final = "/v1/messages"


class _Params(Struct):
    model: object = None


class _ErrorBody(Struct):
    error: msgspec.Raw


_PARAMS: Final = msgspec.json.Decoder(_Params)
_ERRORS: Final = msgspec.json.Decoder(_ErrorBody)


class AnthropicWire:
    """The wire of one job. Its input file has the ``params`` of one row in each line."""

    rules: JobRules = JobRules(one_result_file=True, reordered=True)

    def __init__(self, custom_ids: list[str], model: RowModel, settings: BatchSettings) -> None:
        self._custom_ids = custom_ids
        self._model = model
        self._settings = settings

    def validate(self, path: Path) -> Validation:  # noqa: ARG002 - everything in params is an error of its row
        """Report the rows: the job itself never fails (native-lanes 10.3)."""
        return Validation(custom_ids=[*self._custom_ids])

    def answer(self, call: RowCall) -> RowAnswer:
        """Answer a row by the simulated model."""
        if self._settings.models is not None:
            model = _model(call.line)
            if model not in self._settings.models:
                return RowAnswer(line=_errored(call, b'{"type":"not_found_error","message":"model"}'), succeeded=False)
        response = self._model.ask(PATH, call.line)
        if response.status != 200:
            return RowAnswer(line=_errored(call, bytes(_ERRORS.decode(response.body).error)), succeeded=False)
        tokens = tokens_of(response.body)
        # The quotes inside a text are escaped, so this is the field of ``usage`` and nothing else.
        message = response.body.replace(b'"service_tier":"standard"', b'"service_tier":"batch"')
        line = _line(call, b'{"type":"succeeded","message":%s}' % message)
        return RowAnswer(line=line, succeeded=True, input_tokens=tokens[0], output_tokens=tokens[1])

    def unfinished_line(self, call: RowCall, state: Unfinished) -> bytes:
        """Return the line for a row that was never run."""
        return _line(call, b'{"type":"%s"}' % state.encode())

    def failure(self, code: str, model: str | None) -> LineFault:
        """Return the fault of a job that fails with a code; `AnthropicBatches` never asks for it."""
        return LineFault(code=code, message=f"The batch of {model} failed: {code}.")


def _model(line: bytes) -> object:
    try:
        return _PARAMS.decode(line).model
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _errored(call: RowCall, error: bytes) -> bytes:
    return _line(call, b'{"type":"errored","error":{"type":"error","error":%s,"request_id":null}}' % error)


def _line(call: RowCall, result: bytes) -> bytes:
    return b'{"custom_id":%s,"result":%s}\n' % (msgspec.json.encode(call.custom_id), result)
