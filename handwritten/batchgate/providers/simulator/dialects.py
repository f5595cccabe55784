"""Input and output of the simulated model, and the Messages format; OpenAI's formats are in `openai_dialects`.

The simulator plays the provider, so it has its own request models. They have only the fields that affect an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind, RefusedError

CHARACTERS_PER_TOKEN: Final = 4


Embedding: TypeAlias = str | tuple[float, ...]
"""The numbers of an embedding, or their base64."""


class ModelInput(Struct, frozen=True, kw_only=True):
    """The parts of a call that affect the answer, in any dialect."""

    model: str
    text: str
    """The last user message."""
    input_tokens: int
    max_tokens: int | None
    embeddings: tuple[Embedding, ...] = ()
    """The embeddings of the answer, for a call that asks for embeddings."""


class ModelOutput(Struct, frozen=True, kw_only=True):
    """The generated answer, for any dialect."""

    model_input: ModelInput
    text: str
    output_tokens: int
    complete: bool
    """False if max_tokens cut the text."""
    token: str
    """22 characters of the answer's unique id."""


class SimulatedDialect(Protocol):
    """Decodes calls and encodes answers and errors in one wire format."""

    path: ClassVar[str]
    """The end of the path of calls in this dialect."""
    request_id_header: ClassVar[str]
    sends_retry_after: ClassVar[bool]
    """Whether a wait is in a header, and not in the error."""

    def read(self, body: bytes) -> ModelInput:
        """Decode a call; raises `RefusedError` if it is invalid."""
        ...

    def write(self, answer: ModelOutput) -> bytes:
        """Encode the body of an answer."""
        ...

    def write_error(self, refusal: RefusedError, request_id: str, /) -> tuple[int, bytes]:
        """Encode an error; returns its status and its body."""
        ...


class TextBlock(Struct):
    """A block of a message; a block without text is ignored."""

    text: str | None = None


_Call = TypeVar("_Call")
Content: TypeAlias = str | list[TextBlock] | None


class InputMessage(Struct):
    """A message of the conversation."""

    role: str
    content: Content = None


class _MessagesCall(Struct):
    model: str
    max_tokens: int
    messages: list[InputMessage]
    system: Content = None
    stream: bool = False


class MessagesDialect:
    """Anthropic's Messages API."""

    path: ClassVar = "/messages"
    request_id_header: ClassVar = "request-id"
    sends_retry_after: ClassVar = True
    _statuses: ClassVar[dict[ErrorKind, int]] = {
        "authentication_error": 401,
        "not_found_error": 404,
        "rate_limit_error": 429,
        "api_error": 500,
        "overloaded_error": 529,
    }

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_MessagesCall)

    def read(self, body: bytes) -> ModelInput:
        """Decode Messages params."""
        call = decode_call(self._decoder, body)
        if call.stream:
            raise unsupported_stream()
        messages = [InputMessage(role="system", content=call.system), *call.messages]
        return to_model_input(call.model, messages, call.max_tokens)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode a Message."""
        return msgspec.json.encode(
            {
                "id": f"msg_01{answer.token}",
                "type": "message",
                "role": "assistant",
                "model": answer.model_input.model,
                "content": [{"type": "text", "text": answer.text}],
                "stop_reason": "end_turn" if answer.complete else "max_tokens",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": answer.model_input.input_tokens,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": answer.output_tokens,
                    "service_tier": "standard",
                },
            }
        )

    def write_error(self, refusal: RefusedError, request_id: str, /) -> tuple[int, bytes]:
        """Encode the error envelope of the Messages API."""
        error = {"type": refusal.kind, "message": refusal.message}
        envelope = {"type": "error", "error": error, "request_id": request_id}
        return self._statuses.get(refusal.kind, 400), msgspec.json.encode(envelope)


def decode_call(decoder: msgspec.json.Decoder[_Call], body: bytes) -> _Call:
    """Decode the body of a call; raises `RefusedError` with the reason if it is invalid."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("invalid_request_error", str(error)) from error


def unsupported_stream() -> RefusedError:
    """Return the error for a streaming call."""
    return RefusedError("invalid_request_error", "stream: the simulator does not stream")


def to_model_input(model: str, messages: Sequence[InputMessage], max_tokens: int | None) -> ModelInput:
    """Make the model's input from the messages of a call."""
    if max_tokens is not None and max_tokens < 1:
        raise RefusedError("invalid_request_error", "max_tokens: must be at least 1")
    texts = [(message.role, _text(message.content)) for message in messages]
    return ModelInput(
        model=model,
        text=next((text for role, text in reversed(texts) if role == "user"), ""),
        input_tokens=1 + sum(len(text) for _, text in texts) // CHARACTERS_PER_TOKEN,
        max_tokens=max_tokens,
    )


def _text(content: Content) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(block.text for block in content if block.text)
