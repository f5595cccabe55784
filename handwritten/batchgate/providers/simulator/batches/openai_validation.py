"""Validates input files as OpenAI-shaped providers do, after the create (native-lanes 0 trap 6, 2.1, 10.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.providers.simulator.batches.openai_providers import OpenAIProvider
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.wire import LineFault, Validation
from batchgate.providers.simulator.dialects import CHARACTERS_PER_TOKEN

_PARAMS: Final = {
    "duplicate_custom_id": "custom_id",
    "missing_required_parameter": "custom_id",
    "mismatched_model": "body.model",
    "model_not_found": "body.model",
    "invalid_request": "body.model",
    "invalid_url": "url",
    "streaming_unsupported": "body.stream",
}
"""OpenAI's code of each fault, and the field that it names (native-lanes 10.3)."""

_TEXTS: Final = {
    "invalid_json_line": "This line is not parseable as valid JSON.",
    "missing_required_parameter": "Missing required parameter: 'custom_id'.",
    "mismatched_model": "The model of this line differs from the model of the first line.",
    "model_not_found": "The model of this line does not exist.",
    "invalid_request": "Missing required parameter: 'model'.",
    "invalid_url": "The URL of this line is not the endpoint of the batch.",
    "streaming_unsupported": "Streaming is not supported in batches.",
    "empty_file": "The input file has no lines.",
    "too_many_tasks": "The input file has too many lines.",
}


class _Line(Struct):
    custom_id: object = None
    url: object = None
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _Body(Struct):
    model: object = None
    stream: object = None


_LINES: Final = msgspec.json.Decoder(_Line)
_BODIES: Final = msgspec.json.Decoder(_Body)


def validate_file(path: Path, provider: OpenAIProvider, endpoint: str, settings: BatchSettings) -> Validation:
    """Read a whole input file, line by line, and return its rows and faults."""
    reader = _FileValidation(provider, endpoint, settings)
    with path.open("rb") as lines:
        for line in lines:
            reader.add(line)
            if provider.first_fault_only and not provider.faults_of_rows and reader.faults:
                break
    return reader.result()


def text_of_fault(code: str, provider: OpenAIProvider, model: str | None, settings: BatchSettings) -> str:
    """Return the message for a code; that of ``token_limit_exceeded`` states the limit (native-lanes 5, 2.2)."""
    if code != "token_limit_exceeded":
        return _TEXTS.get(code, f"The batch failed: {code}.")
    limit = settings.enqueued_tokens or 0
    if provider.endpoint_without_v1:
        return (
            f"The number of enqueued tokens has surpassed the configured limit of {limit} for the deployment {model}. "
            "Please try again later."
        )
    return (
        f"Enqueued token limit reached for {model} in organization org-simulated. Limit: {limit} enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )


class _FileValidation:
    """Collects the rows and faults of a file."""

    def __init__(self, provider: OpenAIProvider, endpoint: str, settings: BatchSettings) -> None:
        self.faults: dict[int, LineFault] = {}
        self._provider = provider
        self._endpoint = endpoint
        self._settings = settings
        self._ids: list[str | None] = []
        self._seen: dict[str, int] = {}
        self._model: str | None = None
        self._tokens = 0

    def add(self, line: bytes) -> None:
        """Check the next line."""
        index = len(self._ids)
        self._ids.append(None)
        code = self._read(index, line)
        if code is not None:
            self.faults[index] = self._fault(code, index)

    def result(self) -> Validation:
        """Return what was found."""
        faults = [*self._whole_file_faults(), *([] if self._provider.faults_of_rows else self.faults.values())]
        return Validation(
            custom_ids=self._ids,
            tokens=self._tokens,
            model=self._model,
            faults=tuple(faults[:1] if self._provider.first_fault_only else faults),
            row_faults=self.faults,
        )

    def _whole_file_faults(self) -> Iterator[LineFault]:
        if not self._ids:
            code = "invalid_json_line" if self._provider.codes else "empty_file"  # DeepInfra: invalid_json, no line
            yield LineFault(code=self._provider.codes.get(code, code), message=_TEXTS["empty_file"])
        if len(self._ids) > (self._settings.max_rows or self._provider.max_rows):
            yield LineFault(code="too_many_tasks", message=_TEXTS["too_many_tasks"])
        if self._endpoint in self._provider.fails_later:
            yield LineFault(code="invalid_url", message=f"Unsupported url: {self._endpoint}", param="url", line=1)

    def _fault(self, code: str, index: int) -> LineFault:
        text = _TEXTS.get(code)
        if text is None:
            first = self._seen[self._ids[index] or ""] + self._provider.first_line
            text = f"Duplicate custom_id, first appeared on line {first}"
        line = None if code == "model_not_found" and self._provider.codes else index + self._provider.first_line
        return LineFault(code=self._provider.codes.get(code, code), message=text, param=_PARAMS.get(code), line=line)

    def _read(self, index: int, line: bytes) -> str | None:
        """Read a line and return OpenAI's code of its fault, if it has one."""
        try:
            row = _LINES.decode(line)
            body = _BODIES.decode(row.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "invalid_json_line"
        if not isinstance(row.custom_id, str):
            return "missing_required_parameter"
        self._ids[index] = row.custom_id
        if self._settings.refused_text is not None and self._settings.refused_text.encode() in line:
            return "invalid_request"
        if self._seen.setdefault(row.custom_id, index) != index:
            return "duplicate_custom_id"
        self._tokens += len(line) // CHARACTERS_PER_TOKEN
        return self._read_body(row, body)

    def _read_body(self, row: _Line, body: _Body) -> str | None:
        if self._provider.checks_url and not self._is_endpoint(row.url):
            return "invalid_url"
        if not isinstance(body.model, str):
            return "invalid_request"
        if self._settings.models is not None and body.model not in self._settings.models:
            return "model_not_found"
        self._model = self._model or body.model
        if self._provider.one_model and body.model != self._model:
            return "mismatched_model"
        return "streaming_unsupported" if body.stream and self._provider.checks_stream else None

    def _is_endpoint(self, url: object) -> bool:
        if self._provider.endpoint_without_v1 and isinstance(url, str) and not url.startswith("/v1"):
            return f"/v1{url}" == self._endpoint
        return url == self._endpoint
