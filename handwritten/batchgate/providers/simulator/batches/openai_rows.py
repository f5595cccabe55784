"""OpenAI's wire of a batch job: the lines of its result files (native-lanes 2.1, 10.2)."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.openai_providers import OpenAIProvider
from batchgate.providers.simulator.batches.openai_validation import text_of_fault, validate_file
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

UNFINISHED: Final[dict[Unfinished, tuple[str, str]]] = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "canceled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
}
"""Code and message of rows that never ran (native-lanes 10.2, batch-apis 4.3)."""


class _Line(Struct):
    body: msgspec.Raw
    url: object = None


class _Body(Struct):
    stream: object = None


class _Error(Struct):
    message: str = ""


class _ErrorBody(Struct):
    error: _Error


_LINES: Final = msgspec.json.Decoder(_Line)
_BODIES: Final = msgspec.json.Decoder(_Body)
_ERRORS: Final = msgspec.json.Decoder(_ErrorBody)


class OpenAIWire:
    """The wire of one job; ``endpoint`` has its ``/v1``, also where the provider leaves that out."""

    def __init__(self, provider: OpenAIProvider, endpoint: str, model: RowModel, settings: BatchSettings) -> None:
        self.rules: JobRules = provider.rules
        self._provider = provider
        self._endpoint = endpoint
        self._model = model
        self._settings = settings

    def validate(self, path: Path) -> Validation:
        """Read an input file and report its rows and faults."""
        return validate_file(path, self._provider, self._endpoint, self._settings)

    def answer(self, call: RowCall) -> RowAnswer:
        """Answer a row by the simulated model."""
        if call.fault is not None:
            return RowAnswer(line=self._unanswered(call, call.fault.code, call.fault.message), succeeded=False)
        line = _LINES.decode(call.line)
        path = line.url if self._provider.checks_url and isinstance(line.url, str) else self._endpoint
        response = self._model.ask(path, bytes(line.body))
        if response.status != 200:
            return RowAnswer(line=self._refused(call, response), succeeded=False)
        tokens = tokens_of(response.body)
        return RowAnswer(
            line=self._answered(call, response), succeeded=True, input_tokens=tokens[0], output_tokens=tokens[1]
        )

    def unfinished_line(self, call: RowCall, state: Unfinished) -> bytes:
        """Return the line for a row that was never run."""
        return self._unanswered(call, *UNFINISHED[state])

    def failure(self, code: str, model: str | None) -> LineFault:
        """Return the fault of a job that fails with a code."""
        return LineFault(code=code, message=text_of_fault(code, self._provider, model, self._settings))

    def _refused(self, call: RowCall, response: UpstreamResponse) -> bytes:
        if self._provider.refused_rows == "response":
            return self._answered(call, response)
        streams = bool(_BODIES.decode(_LINES.decode(call.line).body).stream)
        return self._unanswered(
            call, "500" if streams else str(response.status), _ERRORS.decode(response.body).error.message
        )

    def _answered(self, call: RowCall, response: UpstreamResponse) -> bytes:
        endpoint = b""
        if self._provider.refused_rows == "error":  # DeepInfra's rows name the endpoint (native-lanes 10.2)
            endpoint = b'"endpoint": %s, ' % msgspec.json.encode(self._endpoint)
        answer = b'{%s"status_code": %d, "request_id": "%s", "body": %s}' % (
            endpoint,
            response.status,
            response.headers["x-request-id"].encode(),
            response.body,
        )
        return self._line(call, answer, b"null")

    def _unanswered(self, call: RowCall, code: str, message: str) -> bytes:
        error = {"code": code, "message": message}
        if self._provider.refused_rows == "error":
            error |= {"param": None, "type": None}  # type: ignore[dict-item]
        return self._line(call, b"null", msgspec.json.encode(error))

    def _line(self, call: RowCall, response: bytes, error: bytes) -> bytes:
        if self._provider.refused_rows == "error":
            row_id = f"batch_req_{call.job_id}_{call.index:06}"
        else:
            row_id = f"batch_req_{_row_token(call)}"
        return b'{"id": "%s", "custom_id": %s, "response": %s, "error": %s}\n' % (
            row_id.encode(),
            msgspec.json.encode(call.custom_id),
            response,
            error,
        )


def _row_token(call: RowCall) -> str:
    return blake2b(f"{call.job_id} {call.index}".encode(), digest_size=16).hexdigest()
