"""Bedrock's Converse and InvokeModel for the simulated model; InvokeModel takes the bodies of Claude models."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind, RefusedError
from batchgate.providers.handlers.bedrock import CLAUDE_VERSION
from batchgate.providers.simulator.dialects import (
    InputMessage,
    MessagesDialect,
    ModelInput,
    ModelOutput,
    TextBlock,
    decode_call,
    to_model_input,
)

_EXCEPTIONS: dict[ErrorKind, tuple[int, str]] = {
    "authentication_error": (403, "UnrecognizedClientException"),
    "not_found_error": (404, "ResourceNotFoundException"),
    "rate_limit_error": (429, "ThrottlingException"),
    "api_error": (500, "InternalServerException"),
    "overloaded_error": (503, "ServiceUnavailableException"),
}


def model_in_path(path: str) -> str | None:
    """Return the model in the path of a call to Bedrock, which may be percent-encoded; None for any other path."""
    _, marker, rest = path.rpartition("/model/")
    model, slash, _ = rest.rpartition("/")
    return unquote(model) if marker and slash and model else None


class _Inference(Struct):
    maxTokens: int | None = None  # noqa: N815 - the name on the wire


class _ConverseMessage(Struct):
    role: str
    content: list[TextBlock]


class _ConverseCall(Struct):
    messages: list[_ConverseMessage]
    system: list[TextBlock] = []
    inferenceConfig: _Inference | None = None  # noqa: N815 - the name on the wire


class _ClaudeCall(Struct):
    anthropic_version: str
    max_tokens: int
    messages: list[InputMessage]
    model: str | None = None
    stream: bool | None = None
    system: str | list[TextBlock] | None = None


class _BedrockDialect:
    request_id_header: ClassVar = "x-amzn-requestid"
    sends_retry_after: ClassVar = False

    def write_error(self, refusal: RefusedError, _request_id: str, /) -> tuple[int, bytes]:
        """Encode an exception of Bedrock."""
        status, exception = _EXCEPTIONS.get(refusal.kind, (400, "ValidationException"))
        return status, msgspec.json.encode({"__type": exception, "message": refusal.message})


class ConverseDialect(_BedrockDialect):
    """Converse: the format for every model."""

    path: ClassVar = "/converse"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_ConverseCall)

    def read(self, body: bytes) -> ModelInput:
        """Decode a Converse request; its model is in the path."""
        call = decode_call(self._decoder, body)
        roles = [message.role for message in call.messages]
        if any(one == other for one, other in pairwise(roles)) or roles[:1] != ["user"]:
            raise RefusedError("invalid_request_error", "A conversation must alternate between user and assistant.")
        messages = [InputMessage(role=message.role, content=message.content) for message in call.messages]
        instructions = InputMessage(role="system", content=call.system)
        limit = call.inferenceConfig.maxTokens if call.inferenceConfig else None
        return to_model_input("", [instructions, *messages], limit)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode a Converse answer."""
        input_tokens, output_tokens = answer.model_input.input_tokens, answer.output_tokens
        return msgspec.json.encode(
            {
                "metrics": {"latencyMs": 1},
                "output": {"message": {"role": "assistant", "content": [{"text": answer.text}]}},
                "stopReason": "end_turn" if answer.complete else "max_tokens",
                "usage": {
                    "inputTokens": input_tokens,
                    "outputTokens": output_tokens,
                    "totalTokens": input_tokens + output_tokens,
                },
            }
        )


class InvokeDialect(_BedrockDialect):
    """InvokeModel of a Claude model: the Messages format without model and stream."""

    path: ClassVar = "/invoke"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_ClaudeCall)
        self._messages = MessagesDialect()

    def read(self, body: bytes) -> ModelInput:
        """Decode a body for Claude; its model is in the path."""
        call = decode_call(self._decoder, body)
        if call.anthropic_version != CLAUDE_VERSION:
            raise RefusedError("invalid_request_error", "Invalid API version")
        for name in ("model", "stream"):
            if getattr(call, name) is not None:
                raise RefusedError("invalid_request_error", f"{name}: Extra inputs are not permitted")
        return to_model_input("", [InputMessage(role="system", content=call.system), *call.messages], call.max_tokens)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode a Message."""
        return self._messages.write(answer)
