"""The wire formats of OpenAI's API for the simulated model: one for each kind of row."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from hashlib import shake_128
from typing import ClassVar, Final, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind, RefusedError
from batchgate.providers.simulator.dialects import (
    CHARACTERS_PER_TOKEN,
    Content,
    Embedding,
    InputMessage,
    ModelInput,
    ModelOutput,
    decode_call,
    to_model_input,
    unsupported_stream,
)

DIMENSIONS: Final = 8
"""Default number of dimensions of an embedding."""
MAX_DIMENSIONS: Final = 4096

_CREATED: Final = 1_767_225_600  # 2026-01-01, so that equal calls have equal answers

_Texts: TypeAlias = str | list[str | int | list[int]]
"""One text or several, each as a string or as token numbers."""


class _ChatCall(Struct):
    model: str
    messages: list[InputMessage]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None


class _Item(Struct):
    """A message; other items are ignored."""

    role: str = ""
    content: Content = None


class _ResponsesCall(Struct):
    model: str
    input: str | list[_Item]
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None


class _CompletionsCall(Struct):
    model: str
    prompt: _Texts
    max_tokens: int | None = None
    stream: bool | None = None


class _EmbeddingsCall(Struct):
    model: str
    input: _Texts
    dimensions: int | None = None
    encoding_format: str | None = None


class _OpenAIDialect:
    """The shared error format."""

    request_id_header: ClassVar = "x-request-id"
    sends_retry_after: ClassVar = True
    _statuses: ClassVar[Mapping[ErrorKind, tuple[int, str, str | None]]] = {
        "authentication_error": (401, "invalid_request_error", "invalid_api_key"),
        "not_found_error": (404, "invalid_request_error", None),
        "rate_limit_error": (429, "requests", "rate_limit_exceeded"),
        "api_error": (500, "server_error", None),
        "overloaded_error": (503, "service_unavailable_error", None),
    }

    def write_error(self, refusal: RefusedError, _request_id: str, /) -> tuple[int, bytes]:
        """Encode the error envelope of the OpenAI API; the request id is only in the header."""
        status, kind, code = self._statuses.get(refusal.kind, (400, "invalid_request_error", None))
        error = {"message": refusal.message, "type": kind, "param": None, "code": code}
        return status, msgspec.json.encode({"error": error})


class ChatDialect(_OpenAIDialect):
    """Chat Completions."""

    path: ClassVar = "/chat/completions"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_ChatCall)

    def read(self, body: bytes) -> ModelInput:
        """Decode a Chat Completions request."""
        call = decode_call(self._decoder, body)
        if call.stream:
            raise unsupported_stream()
        newer, older = call.max_completion_tokens, call.max_tokens
        return to_model_input(call.model, call.messages, older if newer is None else newer)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode a chat completion."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        return msgspec.json.encode(
            {
                "id": f"chatcmpl-{answer.token}",
                "object": "chat.completion",
                "created": _CREATED,
                "model": answer.model_input.model,
                "choices": [
                    {
                        "index": 0,
                        "message": message,
                        "logprobs": None,
                        "finish_reason": "stop" if answer.complete else "length",
                    }
                ],
                "usage": _usage(answer),
                "system_fingerprint": "fp_simulator",
            }
        )


class ResponsesDialect(_OpenAIDialect):
    """Responses."""

    path: ClassVar = "/responses"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_ResponsesCall)

    def read(self, body: bytes) -> ModelInput:
        """Decode a Responses request."""
        call = decode_call(self._decoder, body)
        if call.stream:
            raise unsupported_stream()
        items = [_Item("user", call.input)] if isinstance(call.input, str) else call.input
        output_tokens = [InputMessage(role=item.role, content=item.content) for item in items]
        messages = [InputMessage(role="system", content=call.instructions), *output_tokens]
        return to_model_input(call.model, messages, call.max_output_tokens)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode a Response with one message."""
        input_tokens, output_tokens = answer.model_input.input_tokens, answer.output_tokens
        status = "completed" if answer.complete else "incomplete"
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        message = {
            "type": "message",
            "id": f"msg_{answer.token}",
            "status": status,
            "role": "assistant",
            "content": [part],
        }
        return msgspec.json.encode(
            {
                "id": f"resp_{answer.token}",
                "object": "response",
                "created_at": _CREATED,
                "status": status,
                "error": None,
                "incomplete_details": None if answer.complete else {"reason": "max_output_tokens"},
                "instructions": None,
                "model": answer.model_input.model,
                "output": [message],
                "parallel_tool_calls": True,
                "temperature": 1.0,
                "tool_choice": "auto",
                "tools": [],
                "top_p": 1.0,
                "metadata": {},
                "usage": {
                    "input_tokens": input_tokens,
                    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                    "output_tokens": output_tokens,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": input_tokens + output_tokens,
                },
            }
        )


class CompletionsDialect(_OpenAIDialect):
    """The legacy completions of a single prompt."""

    path: ClassVar = "/completions"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_CompletionsCall)

    def read(self, body: bytes) -> ModelInput:
        """Decode a request with one prompt, as text or tokens."""
        call = decode_call(self._decoder, body)
        if call.stream:
            raise unsupported_stream()
        texts = _texts(call.prompt)
        if len(texts) != 1:
            raise RefusedError("invalid_request_error", "prompt: the simulator supports only one prompt in a call")
        return to_model_input(call.model, [InputMessage(role="user", content=texts[0])], call.max_tokens)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode a text completion."""
        choice = {
            "text": answer.text,
            "index": 0,
            "logprobs": None,
            "finish_reason": "stop" if answer.complete else "length",
        }
        return msgspec.json.encode(
            {
                "id": f"cmpl-{answer.token}",
                "object": "text_completion",
                "created": _CREATED,
                "model": answer.model_input.model,
                "choices": [choice],
                "usage": _usage(answer),
                "system_fingerprint": "fp_simulator",
            }
        )


class EmbeddingsDialect(_OpenAIDialect):
    """Embeddings: the same text has the same embedding in every call.

    Mistral and vLLM give the answer an id, which OpenAI does not.
    """

    path: ClassVar = "/embeddings"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_EmbeddingsCall)

    def read(self, body: bytes) -> ModelInput:
        """Decode a request for the embeddings of texts or tokens."""
        call = decode_call(self._decoder, body)
        texts = _texts(call.input)
        if not texts:
            raise RefusedError("invalid_request_error", "input: there must be at least one text")
        dimensions = DIMENSIONS if call.dimensions is None else call.dimensions
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise RefusedError("invalid_request_error", f"dimensions: must be from 1 to {MAX_DIMENSIONS}")
        in_base64 = call.encoding_format == "base64"
        return ModelInput(
            model=call.model,
            text="",
            input_tokens=sum(1 + len(text) // CHARACTERS_PER_TOKEN for text in texts),
            max_tokens=None,
            embeddings=tuple(embedding(text, dimensions, in_base64=in_base64) for text in texts),
        )

    def write(self, answer: ModelOutput) -> bytes:
        """Encode the embeddings in the order of their texts."""
        model_input = answer.model_input
        return msgspec.json.encode(
            {
                "id": f"embd-{answer.token}",
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": embedding}
                    for index, embedding in enumerate(model_input.embeddings)
                ],
                "model": model_input.model,
                "usage": {"prompt_tokens": model_input.input_tokens, "total_tokens": model_input.input_tokens},
            }
        )


def _usage(answer: ModelOutput) -> dict[str, int]:
    input_tokens, output_tokens = answer.model_input.input_tokens, answer.output_tokens
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


def _texts(value: _Texts) -> list[str]:
    """Return the texts; tokens become their numbers as text, as the simulator has no vocabulary."""
    if isinstance(value, str):
        return [value]
    if value and all(isinstance(token, int) for token in value):
        return [_text(value)]
    return [_text(part) for part in value]


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def embedding(text: str, dimensions: int, *, in_base64: bool) -> Embedding:
    """Derive numbers from -1 to 1 from the hash of a text."""
    integers = struct.unpack(f"<{dimensions}H", shake_128(text.encode()).digest(2 * dimensions))
    numbers = tuple(round(number / 32767.5 - 1, 6) for number in integers)
    if in_base64:
        return base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode()
    return numbers
