"""Reads the answer from a result line of any API: its text, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct, structs

from batchgate.tables.errors import TableError

FIRST_ERROR_STATUS: Final = 400


class Answer(Struct, frozen=True, kw_only=True):
    """How one request ended."""

    custom_id: str
    text: str | None = None
    """The text of the model; None if the request failed."""
    error: str | None = None
    finish_reason: str | None = None
    """Why the model stopped, in the words of the API."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    """What the gateway says that it cost; None if that is not known."""


class _Text(Struct, frozen=True):
    """A part of a content, which may be a thought of the model before its answer."""

    text: str | None = None
    type: str | None = None
    thought: bool | None = None

    @property
    def answer(self) -> str:
        """The text, if it is of the answer."""
        return "" if self.thought or self.type == "reasoning_text" else self.text or ""


class _Item(Struct, frozen=True):
    """An item of the output of Responses."""

    content: list[_Text] | None = None


class _Message(Struct, frozen=True):
    content: str | list[_Text] | None = None
    refusal: str | None = None


class _Parts(Struct, frozen=True):
    parts: list[_Text] = []


class _Choice(Struct, frozen=True):
    """A choice of Chat Completions or Completions, or a candidate of Gemini."""

    message: _Message | None = None
    text: str | None = None
    content: _Parts | None = None
    finish_reason: str | None = None
    gemini_reason: str | None = msgspec.field(name="finishReason", default=None)


class _Usage(Struct, frozen=True):
    """The tokens of an answer, in the words of each API."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    converse_input: int | None = msgspec.field(name="inputTokens", default=None)
    converse_output: int | None = msgspec.field(name="outputTokens", default=None)
    gemini_input: int | None = msgspec.field(name="promptTokenCount", default=None)
    gemini_output: int | None = msgspec.field(name="candidatesTokenCount", default=None)


class _ConverseOutput(Struct, frozen=True):
    message: _Message = _Message()


class _Error(Struct, frozen=True):
    message: str | None = None
    code: str | int | None = None
    type: str | None = None


class _Body(Struct, frozen=True):
    """An answer of any API, as far as its text goes."""

    content: list[_Text] | None = None
    stop_reason: str | None = None
    choices: list[_Choice] | None = None
    candidates: list[_Choice] | None = None
    output: list[_Item] | _ConverseOutput | None = None
    converse_reason: str | None = msgspec.field(name="stopReason", default=None)


class _Tokens(Struct, frozen=True):
    """The tokens of an answer, which are read apart from its text: odd numbers must not hide it."""

    usage: _Usage | None = None
    gemini_usage: _Usage | None = msgspec.field(name="usageMetadata", default=None)


class _ErrorBody(Struct, frozen=True):
    error: _Error | str = _Error()


class _Result(Struct, frozen=True):
    """The result of a request of Messages."""

    type: str
    message: Raw = Raw(b"{}")
    error: _ErrorBody = _ErrorBody()


class _Response(Struct, frozen=True):
    status_code: int
    body: Raw = Raw(b"{}")


class _Line(Struct, frozen=True):
    custom_id: str
    result: _Result | None = None
    response: _Response | None = None
    error: _Error | None = None
    cost_usd: float | None = None


_LINE: Final = msgspec.json.Decoder(_Line)
_BODY: Final = msgspec.json.Decoder(_Body)
_TOKENS: Final = msgspec.json.Decoder(_Tokens)
_ERROR_BODY: Final = msgspec.json.Decoder(_ErrorBody)


def read_answer(line: bytes) -> Answer:
    """Return the answer of a result line; raises `TableError` if it is none."""
    try:
        read = _LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TableError(f"a result line cannot be read: {error}") from error
    return structs.replace(_answer(read), cost_usd=read.cost_usd)


def _answer(read: _Line) -> Answer:
    if read.result is not None:
        return _of_messages(read.custom_id, read.result)
    if read.response is None:
        return Answer(custom_id=read.custom_id, error=_error_text(read.error or _Error()))
    if read.response.status_code < FIRST_ERROR_STATUS:
        return _of_body(read.custom_id, read.response.body)
    return Answer(custom_id=read.custom_id, error=_body_error(read.response))


def _of_messages(custom_id: str, result: _Result) -> Answer:
    if result.type == "succeeded":
        return _of_body(custom_id, result.message)
    error = result.error.error
    text = _error_text(error) if isinstance(error, _Error) and error.message else result.type
    return Answer(custom_id=custom_id, error=text)


def _of_body(custom_id: str, content: Raw) -> Answer:
    """Read the text of a success; what has no text that is known, such as an embedding, is the whole JSON."""
    try:
        body = _BODY.decode(content)
    except msgspec.ValidationError:
        return Answer(custom_id=custom_id, text=bytes(content).decode())
    usage = _usage(content)
    choice = next(iter(body.choices or body.candidates or ()), None)
    refusal = None if choice is None or choice.message is None else choice.message.refusal
    return Answer(
        custom_id=custom_id,
        text=_text(body, choice, bytes(content)),
        error=f"the model refused: {refusal}" if refusal else None,
        finish_reason=_reason(body, choice),
        input_tokens=_first(usage.input_tokens, usage.prompt_tokens, usage.converse_input, usage.gemini_input),
        output_tokens=_first(usage.output_tokens, usage.completion_tokens, usage.converse_output, usage.gemini_output),
    )


def _usage(content: Raw) -> _Usage:
    try:
        tokens = _TOKENS.decode(content)
    except msgspec.ValidationError:
        return _Usage()
    return tokens.gemini_usage or tokens.usage or _Usage()


def _text(body: _Body, choice: _Choice | None, content: bytes) -> str:
    if choice is not None and choice.message is not None:
        return _joined(choice.message.content)
    if choice is not None:
        return choice.text or _joined(None if choice.content is None else choice.content.parts)
    if body.content is not None:
        return _joined(body.content)
    if isinstance(body.output, _ConverseOutput):
        return _joined(body.output.message.content)
    if body.output is not None:
        return "".join(_joined(item.content) for item in body.output)
    return content.decode()


def _joined(content: str | Sequence[_Text] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.answer for part in content)


def _reason(body: _Body, choice: _Choice | None) -> str | None:
    own = None if choice is None else choice.finish_reason or choice.gemini_reason
    return own or body.stop_reason or body.converse_reason


def _first(*numbers: int | None) -> int | None:
    return next((number for number in numbers if number is not None), None)


def _body_error(response: _Response) -> str:
    try:
        error = _ERROR_BODY.decode(response.body).error
    except msgspec.ValidationError:
        error = _Error()
    text = error if isinstance(error, str) else _error_text(error)
    return text or f"HTTP status {response.status_code}"


def _error_text(error: _Error) -> str:
    name = error.type or error.code
    return ": ".join(str(part) for part in (name, error.message) if part)
