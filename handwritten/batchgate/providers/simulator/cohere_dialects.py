"""Cohere's own chat and embed for the simulated model (more-dialects 3.3)."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind, RefusedError
from batchgate.providers.simulator.dialects import (
    CHARACTERS_PER_TOKEN,
    InputMessage,
    ModelInput,
    ModelOutput,
    decode_call,
    to_model_input,
    unsupported_stream,
)
from batchgate.providers.simulator.openai_dialects import DIMENSIONS, MAX_DIMENSIONS, embedding

MAX_TEXTS: Final = 96
"""The most texts of one call."""
_INPUT_TYPES: Final = ("search_document", "search_query", "classification", "clustering", "image")
_STATUSES: Final[dict[ErrorKind, int]] = {
    "authentication_error": 401,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 503,
}


class _ChatCall(Struct):
    model: str
    messages: list[InputMessage]
    max_tokens: int | None = None
    stream: bool | None = None


class _Part(Struct):
    text: str | None = None


class _Input(Struct):
    content: list[_Part]


class _EmbedCall(Struct):
    model: str
    input_type: str | None = None
    texts: list[str] | None = None
    inputs: list[_Input] | None = None
    embedding_types: list[str] | None = None
    output_dimension: int | None = None


class _CohereDialect:
    request_id_header: ClassVar = "x-debug-trace-id"
    sends_retry_after: ClassVar = True

    def write_error(self, refusal: RefusedError, request_id: str, /) -> tuple[int, bytes]:
        """Encode an error of Cohere, which is a message alone."""
        return _STATUSES.get(refusal.kind, 400), msgspec.json.encode({"id": request_id, "message": refusal.message})


class CohereChatDialect(_CohereDialect):
    """The second version of chat."""

    path: ClassVar = "/v2/chat"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_ChatCall)

    def read(self, body: bytes) -> ModelInput:
        """Decode a call."""
        call = decode_call(self._decoder, body)
        if call.stream:
            raise unsupported_stream()
        return to_model_input(call.model, call.messages, call.max_tokens)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode an answer; its numbers of tokens are fractions, and those that are billed are fewer."""
        tokens = {"input_tokens": float(answer.model_input.input_tokens), "output_tokens": float(answer.output_tokens)}
        billed = {"input_tokens": max(0.0, tokens["input_tokens"] - 1), "output_tokens": tokens["output_tokens"]}
        return msgspec.json.encode(
            {
                "id": f"simulated-{answer.token}",
                "finish_reason": "COMPLETE" if answer.complete else "MAX_TOKENS",
                "message": {"role": "assistant", "content": [{"type": "text", "text": answer.text}]},
                "usage": {"billed_units": billed, "tokens": tokens, "cached_tokens": 0.0},
            }
        )


class CohereEmbedDialect(_CohereDialect):
    """The second version of embed: the same text has the same embedding in every call."""

    path: ClassVar = "/v2/embed"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_EmbedCall)

    def read(self, body: bytes) -> ModelInput:
        """Decode a call for the embeddings of texts."""
        call = decode_call(self._decoder, body)
        if call.input_type not in _INPUT_TYPES:
            raise _refused("valid input_type must be provided with the provided model")
        if call.embedding_types not in (None, ["float"]):
            raise _refused("embedding_types: the simulator has float only")
        texts = _texts(call)
        if not 1 <= len(texts) <= MAX_TEXTS:
            raise _refused(f"total number of texts must be at most {MAX_TEXTS} and at least 1 - received {len(texts)}")
        dimensions = DIMENSIONS if call.output_dimension is None else call.output_dimension
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise _refused(f"output_dimension must be from 1 to {MAX_DIMENSIONS}")
        return ModelInput(
            model=call.model,
            text=msgspec.json.encode(texts).decode(),
            input_tokens=sum(1 + len(text) // CHARACTERS_PER_TOKEN for text in texts),
            max_tokens=None,
            embeddings=tuple(embedding(f"{call.input_type}: {text}", dimensions, in_base64=False) for text in texts),
        )

    def write(self, answer: ModelOutput) -> bytes:
        """Encode the embeddings in the order of their texts."""
        model_input = answer.model_input
        meta: dict[str, Any] = {
            "api_version": {"version": "2"},
            "billed_units": {"input_tokens": float(model_input.input_tokens)},
        }
        return msgspec.json.encode(
            {
                "id": f"simulated-{answer.token}",
                "embeddings": {"float": model_input.embeddings},
                "texts": msgspec.Raw(model_input.text.encode()),
                "meta": meta,
                "response_type": "embeddings_by_type",
            }
        )


def _texts(call: _EmbedCall) -> list[str]:
    if call.texts is not None:
        return call.texts
    return ["\n".join(part.text for part in given.content if part.text) for given in call.inputs or ()]


def _refused(message: str) -> RefusedError:
    return RefusedError("invalid_request_error", f"invalid request: {message}")
