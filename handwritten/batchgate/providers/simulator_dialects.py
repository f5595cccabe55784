"""The wire formats that the simulated model speaks: Messages and Chat Completions, errors included.

The simulator plays the foreign side, so it has row models of its own: open ones, which keep no more
than what an answer depends on.
"""

from __future__ import annotations

from typing import ClassVar, Final, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from batchgate.engine.errors import ErrorKind, RefusedError

CHARACTERS_PER_TOKEN: Final = 4
_CREATED: Final = 1_767_225_600  # 2026-01-01: a clock would make two equal calls differ


class Question(Struct, frozen=True, kw_only=True):
    """What an answer depends on, whatever the dialect it was asked in."""

    model: str
    text: str
    """The last thing that the user said."""
    input_tokens: int
    max_tokens: int | None


class Answer(Struct, frozen=True, kw_only=True):
    """What the model says, whatever the dialect it is written in."""

    question: Question
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

    def read(self, body: bytes) -> Question:
        """Read a call; raises `RefusedError` when it is not one."""
        ...

    def write(self, answer: Answer) -> bytes:
        """Write the body of an answer."""
        ...

    def refuse(self, refusal: RefusedError, request_id: str, /) -> tuple[int, bytes]:
        """Write a refusal: its status and its body."""
        ...


class _Block(Struct):
    text: str | None = None


_Call = TypeVar("_Call")
_Content: TypeAlias = str | list[_Block] | None


class _Turn(Struct):
    role: str
    content: _Content = None


class _MessagesCall(Struct):
    model: str
    max_tokens: int
    messages: list[_Turn]
    system: _Content = None
    stream: bool = False


class _ChatCall(Struct):
    model: str
    messages: list[_Turn]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None


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

    def read(self, body: bytes) -> Question:
        """Read Messages params."""
        call = _decoded(self._decoder, body)
        if call.stream:
            raise _unsupported_stream()
        turns = [_Turn(role="system", content=call.system), *call.messages]
        return _question(call.model, turns, call.max_tokens)

    def write(self, answer: Answer) -> bytes:
        """Write a Message."""
        return msgspec.json.encode(
            {
                "id": f"msg_01{answer.token}",
                "type": "message",
                "role": "assistant",
                "model": answer.question.model,
                "content": [{"type": "text", "text": answer.text}],
                "stop_reason": "end_turn" if answer.complete else "max_tokens",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": answer.question.input_tokens,
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


class ChatDialect:
    """OpenAI's Chat Completions API."""

    path: ClassVar = "/chat/completions"
    request_id_header: ClassVar = "x-request-id"
    _faults: ClassVar[dict[ErrorKind, tuple[int, str, str | None]]] = {
        "authentication_error": (401, "invalid_request_error", "invalid_api_key"),
        "not_found_error": (404, "invalid_request_error", None),
        "rate_limit_error": (429, "requests", "rate_limit_exceeded"),
        "api_error": (500, "server_error", None),
        "overloaded_error": (503, "service_unavailable_error", None),
    }

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_ChatCall)

    def read(self, body: bytes) -> Question:
        """Read a Chat Completions request."""
        call = _decoded(self._decoder, body)
        if call.stream:
            raise _unsupported_stream()
        newer, older = call.max_completion_tokens, call.max_tokens
        return _question(call.model, call.messages, older if newer is None else newer)

    def write(self, answer: Answer) -> bytes:
        """Write a chat completion."""
        asked, said = answer.question.input_tokens, answer.output_tokens
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        return msgspec.json.encode(
            {
                "id": f"chatcmpl-{answer.token}",
                "object": "chat.completion",
                "created": _CREATED,
                "model": answer.question.model,
                "choices": [
                    {
                        "index": 0,
                        "message": message,
                        "logprobs": None,
                        "finish_reason": "stop" if answer.complete else "length",
                    }
                ],
                "usage": {
                    "prompt_tokens": asked,
                    "completion_tokens": said,
                    "total_tokens": asked + said,
                },
                "system_fingerprint": "fp_simulator",
            }
        )

    def refuse(self, refusal: RefusedError, _request_id: str, /) -> tuple[int, bytes]:
        """Write the error envelope of the OpenAI API; its request id is in the header only."""
        status, kind, code = self._faults.get(refusal.kind, (400, "invalid_request_error", None))
        error = {"message": refusal.message, "type": kind, "param": None, "code": code}
        return status, msgspec.json.encode({"error": error})


_MESSAGES: Final = MessagesDialect()
_CHAT: Final = ChatDialect()


def dialect_for(path: str) -> SimulatedDialect:
    """Choose the dialect of a path; an unknown path is answered in Messages."""
    return _CHAT if path.endswith(_CHAT.path) else _MESSAGES


def _decoded(decoder: msgspec.json.Decoder[_Call], body: bytes) -> _Call:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("invalid_request_error", str(error)) from error


def _unsupported_stream() -> RefusedError:
    return RefusedError("invalid_request_error", "stream: the simulator answers whole")


def _question(model: str, turns: list[_Turn], max_tokens: int | None) -> Question:
    if max_tokens is not None and max_tokens < 1:
        raise RefusedError("invalid_request_error", "max_tokens: must be at least 1")
    texts = [(turn.role, _text(turn.content)) for turn in turns]
    return Question(
        model=model,
        text=next((text for role, text in reversed(texts) if role == "user"), ""),
        input_tokens=1 + sum(len(text) for _, text in texts) // CHARACTERS_PER_TOKEN,
        max_tokens=max_tokens,
    )


def _text(content: _Content) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(block.text for block in content if block.text)
