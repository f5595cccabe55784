"""Translates messages of Chat Completions to Gemini's contents.

Neighbours of one role become one content. The results of one turn are a content of their own, as Gemini wants as many
results in it as the turn before had calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_fields import assistant_texts
from batchgate.providers.dialects.chat_via_gemini.media import audio_blob, file_blob, image_blob
from batchgate.providers.dialects.chat_via_gemini.request_rules import REJECTED
from batchgate.providers.dialects.gemini_models import SKIP_SIGNATURE, needs_signatures
from batchgate.providers.dialects.tool_arguments import arguments_object
from batchgate.providers.dialects.tool_call_ids import ToolIdRule, fit_tool_call_ids
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g

Instructions: TypeAlias = c.ChatSystemMessage | c.ChatDeveloperMessage

_IDS: Final = ToolIdRule(length=128, any_character=True, needs_call=True)
"""Results are paired with their calls by id, so each is unique."""


class Conversation(Struct, frozen=True):
    """The instructions and the contents, which Chat Completions has in one list."""

    instructions: g.GeminiContent | UnsetType
    contents: list[g.GeminiContent]


def translate_conversation(messages: Sequence[c.ChatMessageParam], model: str) -> Conversation:
    """Translate all messages; raises `Untranslatable` with the path of the unsupported part."""
    leading = [*takewhile(lambda message: isinstance(message, Instructions), messages)]
    parts = [part for index, message in enumerate(leading) for part in _instructions(message, f"messages.{index}")]
    instructions = g.GeminiContent(parts=parts) if parts else UNSET
    fitted = fit_tool_call_ids(messages, _IDS)
    return Conversation(instructions, _merged(_turns(fitted, len(leading), model)))


class _Turn(Struct, frozen=True):
    """The parts of one message; results stand alone."""

    role: str
    parts: list[g.GeminiPart]
    has_results: bool = False


def _merged(turns: Iterator[_Turn]) -> list[g.GeminiContent]:
    """Join neighbours; a message without parts is left out."""
    merged: list[_Turn] = []
    for turn in turns:
        if merged and (merged[-1].role, merged[-1].has_results) == (turn.role, turn.has_results):
            merged[-1].parts.extend(turn.parts)
        elif turn.parts:
            merged.append(turn)
    return [g.GeminiContent(role=turn.role, parts=turn.parts) for turn in merged]


def _instructions(message: c.ChatMessageParam, path: str) -> list[g.GeminiPart]:
    assert isinstance(message, Instructions)
    REJECTED.check(message, path)
    return _texts(message.content)


def _texts(content: c.ChatTextContent | None) -> list[g.GeminiPart]:
    texts = [content] if isinstance(content, str) else [part.text for part in content or ()]
    return [g.GeminiPart(text=text) for text in texts if text]


def _turns(messages: Sequence[c.ChatMessageParam], start: int, model: str) -> Iterator[_Turn]:
    names: dict[str, str] = {}
    for index in range(start, len(messages)):
        message, path = messages[index], f"messages.{index}"
        REJECTED.check(message, path)
        match message:
            case c.ChatUserMessage():
                yield _Turn("user", _user_parts(message, path))
            case c.ChatAssistantMessage():
                yield _Turn("model", _model_parts(message, names, path, model))
            case c.ChatToolMessage():
                yield _Turn("user", [_result(message, names)], has_results=True)
            case c.ChatSystemMessage() | c.ChatDeveloperMessage():
                reason = "Gemini takes instructions only before all other messages; move it to the start"
                raise Untranslatable(path, reason)
            case c.ChatFunctionMessage():
                raise REJECTED.error(message, path)
            case _:
                assert_never(message)


def _user_parts(message: c.ChatUserMessage, path: str) -> list[g.GeminiPart]:
    if not isinstance(message.content, list):
        return _texts(message.content)
    return [
        _user_part(part, f"{path}.content.{index}")
        for index, part in enumerate(message.content)
        if not isinstance(part, c.ChatTextPart) or part.text
    ]


def _user_part(part: c.ChatContentPart, path: str) -> g.GeminiPart:
    match part:
        case c.ChatTextPart(text=text):
            return g.GeminiPart(text=text)
        case c.ChatImagePart(image_url=image):
            REJECTED.check(image, f"{path}.image_url")
            return g.GeminiPart(inlineData=image_blob(image.url, f"{path}.image_url.url"))
        case c.ChatFilePart(file=file):
            REJECTED.check(file, f"{path}.file")
            return g.GeminiPart(inlineData=file_blob(file, f"{path}.file"))
        case c.ChatAudioPart(input_audio=audio):
            return g.GeminiPart(inlineData=audio_blob(audio))
        case _:
            assert_never(part)


def _model_parts(message: c.ChatAssistantMessage, names: dict[str, str], path: str, model: str) -> list[g.GeminiPart]:
    parts = [*_said(message)]
    signed = False
    for index, call in enumerate(message.tool_calls or ()):
        if not isinstance(call, c.ChatFunctionToolCallParam):
            raise REJECTED.error(call, f"{path}.tool_calls.{index}")
        names[call.id] = call.function.name
        signature = _signature(call)
        if signature is UNSET and not signed and needs_signatures(model):
            signature = SKIP_SIGNATURE
        # Of parallel calls only the first one has a signature.
        signed = signed or signature is not UNSET
        parts.append(_call(call, signature))
    return parts


def _said(message: c.ChatAssistantMessage) -> Iterator[g.GeminiPart]:
    for text in assistant_texts(message):
        if text:
            yield g.GeminiPart(text=text)


def _signature(call: c.ChatFunctionToolCallParam) -> str | UnsetType:
    google = call.extra_content.google if call.extra_content else None
    return (google.thought_signature or UNSET) if google else UNSET


def _call(call: c.ChatFunctionToolCallParam, signature: str | UnsetType) -> g.GeminiPart:
    args = arguments_object(Raw(msgspec.json.encode(call.function.arguments)))
    function = g.GeminiFunctionCall(id=call.id, name=call.function.name, args=args)
    return g.GeminiPart(functionCall=function, thoughtSignature=signature)


class _Output(Struct, frozen=True):
    """A result as text: Gemini would read keys such as ``$ref`` of an object as references."""

    output: str


def _result(message: c.ChatToolMessage, names: dict[str, str]) -> g.GeminiPart:
    content = message.content
    text = content if isinstance(content, str) else "\n".join(part.text for part in content or ())
    call_id = message.tool_call_id
    response = Raw(msgspec.json.encode(_Output(text)))
    return g.GeminiPart(functionResponse=g.GeminiFunctionResponse(id=call_id, name=names[call_id], response=response))
