"""Gemini's wire of a batch job: the checks of its input file and the lines of its results (native-lanes 2.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.batches.gemini_objects import RPC_STATUSES
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
from batchgate.providers.simulator.gemini_dialects import EmbedContentDialect, GenerateContentDialect

Method: TypeAlias = Literal["generateContent", "embedContent"]

_CODES: Final = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14, 504: 4}
assert all(RPC_STATUSES[code] == status for status, code in _CODES.items())
_UNFINISHED: Final[dict[Unfinished, int]] = {"expired": 4, "canceled": 1}


class _Line(Struct, forbid_unknown_fields=True):
    request: msgspec.Raw
    key: str | None = None


class _Error(Struct):
    message: str = ""


class _ErrorBody(Struct):
    error: _Error


_LINES: Final = msgspec.json.Decoder(_Line)
_ERRORS: Final = msgspec.json.Decoder(_ErrorBody)


class GeminiWire:
    """The wire of one job of a model."""

    rules: JobRules = JobRules(one_result_file=True, reordered=True, cancelled_results=False)

    def __init__(self, model_name: str, method: Method, model: RowModel) -> None:
        self._path: Final = f"/v1beta/models/{model_name}:{method}"
        self._model_name: Final = model_name
        self._method: Final = method
        self._model: Final = model

    def check(self, path: Path) -> None:
        """Raise `RefusedError` for the first malformed line: the create call is refused, and nothing is made."""
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                self._check_line(number, line)

    def _check_line(self, number: int, line: bytes) -> None:
        try:
            row = _LINES.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RefusedError("invalid_request_error", f"Line {number} of the file is invalid: {error}") from error
        dialect = GenerateContentDialect if self._method == "generateContent" else EmbedContentDialect
        dialect(self._path).read(bytes(row.request))

    def validate(self, path: Path) -> Validation:
        """Report the rows of a file that was checked already; keys may be absent or equal."""
        keys: list[str | None] = []
        tokens = 0
        with path.open("rb") as lines:
            for line in lines:
                keys.append(_LINES.decode(line).key)
                tokens += len(line) // CHARACTERS_PER_TOKEN
        return Validation(custom_ids=keys, tokens=tokens, model=self._model_name)

    def answer(self, call: RowCall) -> RowAnswer:
        """Answer a row by the simulated model."""
        response = self._model.ask(self._path, bytes(_LINES.decode(call.line).request))
        if response.status != 200:
            message = _ERRORS.decode(response.body).error.message
            return RowAnswer(line=_failed(call, _CODES.get(response.status, 13), message), succeeded=False)
        tokens = tokens_of(response.body)
        line = _line(call, b'"response":%s' % response.body)
        return RowAnswer(line=line, succeeded=True, input_tokens=tokens[0], output_tokens=tokens[1])

    def unfinished_line(self, call: RowCall, state: Unfinished) -> bytes:
        """Return the line for a row that was never run."""
        return _failed(call, _UNFINISHED[state], f"The request was {state}.")

    def failure(self, code: str, model: str | None) -> LineFault:
        """Return the fault of a job that fails with a code."""
        return LineFault(code=code, message=f"The batch of {model} failed: {code}.")


def _failed(call: RowCall, code: int, message: str) -> bytes:
    return _line(call, b'"error":%s' % msgspec.json.encode({"code": code, "message": message}))


def _line(call: RowCall, outcome: bytes) -> bytes:
    return b'{"key":%s,%s}\n' % (msgspec.json.encode(call.custom_id), outcome)
