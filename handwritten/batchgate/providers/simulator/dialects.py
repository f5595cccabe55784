"""What a simulated model is asked and answers in any wire format, and Anthropic's; OpenAI's are in `simulator_openai`.

The simulator plays the foreign side, so it has row models of its own: open ones, which keep no more
than what an answer depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind, RefusedError

CHARACTERS_PER_TOKEN: Final = 4


Embedding: TypeAlias = str | tuple[float, ...]
"""The numbers of a text, or base64 of them."""


class ModelInput(Struct, frozen=True, kw_only=True):
    """What an answer depends on, whatever the dialect it was asked in."""

    model: str
    text: str
    """The last thing that the user said."""
    input_tokens: int
    max_tokens: int | None
    embeddings: tuple[Embedding, ...] = ()
    """What the answer holds where no text was asked for."""


class ModelOutput(Struct, frozen=True, kw_only=True):
    """What the model says, whatever the dialect it is written in."""

    model_input: ModelInput
    text: str
    output_tokens: int
    complete: bool
    """False when the bound on its length cut it."""
    token: str
    """22 characters that make the id of the answer unique."""


class SimulatedDialect(Protocol):
    """Reads calls and writes answers and refusals in one wire format."""

    path: ClassVar[str]
    """How the path of a call in this dialect ends."""
    request_id_header: ClassVar[str]

    def read(self, body: bytes) -> ModelInput:
        """Read a call; raises `RefusedError` when it is not one."""
        ...

    def write(self, answer: ModelOutput) -> bytes:
        """Write the body of an answer."""
        ...

    def refuse(self, refusal: RefusedError, request_id: str, /) -> tuple[int, bytes]:
        """Write a refusal: its status and its body."""
        ...


class TextBlock(Struct):
    """A block of a turn; one without a text is passed over."""

    text: str | None = None


_Call = TypeVar("_Call")
Content: TypeAlias = str | list[TextBlock] | None


class InputMessage(Struct):
    """Something that was said, by whom."""

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
        """Read Messages params."""
        call = decode_call(self._decoder, body)
        if call.stream:
            raise unsupported_stream()
        messages = [InputMessage(role="system", content=call.system), *call.messages]
        return to_model_input(call.model, messages, call.max_tokens)

    def write(self, answer: ModelOutput) -> bytes:
        """Write a Message."""
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

    def refuse(self, refusal: RefusedError, request_id: str, /) -> tuple[int, bytes]:
        """Write the error envelope of the Messages API."""
        error = {"type": refusal.kind, "message": refusal.message}
        envelope = {"type": "error", "error": error, "request_id": request_id}
        return self._statuses.get(refusal.kind, 400), msgspec.json.encode(envelope)


def decode_call(decoder: msgspec.json.Decoder[_Call], body: bytes) -> _Call:
    """Read the body of a call; raises `RefusedError` that says what is wrong with it."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("invalid_request_error", str(error)) from error


def unsupported_stream() -> RefusedError:
    """Refuse to answer piece by piece."""
    return RefusedError("invalid_request_error", "stream: the simulator answers whole")


def to_model_input(model: str, messages: Sequence[InputMessage], max_tokens: int | None) -> ModelInput:
    """Make the question of what was said so far."""
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
