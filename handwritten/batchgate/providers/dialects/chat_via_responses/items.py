"""Translates the messages of Chat Completions into the items of Responses.

What a model did in one turn is one message here, and several items there: what it said, then each of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_via_responses.request_rules import REJECTED
from batchgate.providers.dialects.rules import unset_if_null
from batchgate_api import chat_completions as c
from batchgate_api import responses as r


class Conversation(Struct, frozen=True):
    """The two places in which Responses holds what Chat Completions holds in one."""

    instructions: str | UnsetType
    input: list[Raw]


def translate_conversation(messages: Sequence[c.ChatMessageParam]) -> Conversation:
    """Say every message; raises `Untranslatable` with the path of what cannot be said."""
    instructions, start = _instructions(messages)
    free_text: set[str] = set()
    items: list[Raw] = []
    for index in range(start, len(messages)):
        found = _items(messages[index], free_text, f"messages.{index}")
        items.extend(Raw(msgspec.json.encode(item)) for item in found)
    return Conversation(instructions, items)


def _instructions(messages: Sequence[c.ChatMessageParam]) -> tuple[str | UnsetType, int]:
    """Find the text that is the instructions, and the place at which the input begins."""
    match messages:
        case [c.ChatSystemMessage(content=str() as text) as message, *_] if text:
            REJECTED.check(message, "messages.0")
            return text, 1
        case _:
            return UNSET, 0


def _items(message: c.ChatMessageParam, free_text: set[str], path: str) -> Iterator[Struct]:
    """Say one message; ``free_text`` gathers the ids of calls whose outputs are not those of functions."""
    REJECTED.check(message, path)
    match message:
        case c.ChatSystemMessage(content=content):
            yield r.ResponsesMessage(role="system", content=_texts(content))
        case c.ChatDeveloperMessage(content=content):
            yield r.ResponsesMessage(role="developer", content=_texts(content))
        case c.ChatUserMessage(content=content):
            yield r.ResponsesMessage(role="user", content=_user_content(content, f"{path}.content"))
        case c.ChatToolMessage(content=content, tool_call_id=call_id) if call_id in free_text:
            yield r.ResponsesCustomToolCallOutput(
                type="custom_tool_call_output", call_id=call_id, output=_texts(content)
            )
        case c.ChatToolMessage(content=content, tool_call_id=call_id):
            yield r.ResponsesFunctionCallOutput(type="function_call_output", call_id=call_id, output=_texts(content))
        case c.ChatAssistantMessage():
            yield from _assistant_items(message, free_text, path)
        case c.ChatFunctionMessage():
            raise REJECTED.error(message, path)
        case _:
            assert_never(message)


def _texts(content: c.ChatTextContent) -> str | list[r.ResponsesPart]:
    return content if isinstance(content, str) else [_input_text(part) for part in content]


def _input_text(part: c.ChatTextPart) -> r.ResponsesInputText:
    place = _breakpoint(part.prompt_cache_breakpoint)
    return r.ResponsesInputText(text=part.text, prompt_cache_breakpoint=place)


def _user_content(content: str | list[c.ChatContentPart], path: str) -> str | list[r.ResponsesPart]:
    if isinstance(content, str):
        return content
    return [_user_part(part, f"{path}.{index}") for index, part in enumerate(content)]


def _user_part(part: c.ChatContentPart, path: str) -> r.ResponsesPart:
    REJECTED.check(part, path)
    match part:
        case c.ChatTextPart():
            return _input_text(part)
        case c.ChatImagePart(image_url=image):
            place = _breakpoint(part.prompt_cache_breakpoint)
            return r.ResponsesInputImage(
                image_url=image.url, detail=unset_if_null(image.detail), prompt_cache_breakpoint=place
            )
        case c.ChatFilePart(file=file):
            return r.ResponsesInputFile(
                file_data=unset_if_null(file.file_data),
                file_id=unset_if_null(file.file_id),
                filename=unset_if_null(file.filename),
                prompt_cache_breakpoint=_breakpoint(part.prompt_cache_breakpoint),
            )
        case c.ChatAudioPart(input_audio=audio):
            return r.ResponsesInputAudio(input_audio=r.ResponsesAudio(data=audio.data, format=audio.format))
        case _:
            assert_never(part)


def _breakpoint(place: c.ChatPromptCacheBreakpoint | UnsetType | None) -> r.ResponsesPromptCacheBreakpoint | UnsetType:
    return r.ResponsesPromptCacheBreakpoint(mode=place.mode, ttl=unset_if_null(place.ttl)) if place else UNSET


def _assistant_items(message: c.ChatAssistantMessage, free_text: set[str], path: str) -> Iterator[Struct]:
    content = _assistant_content(message, path)
    if content is not None:
        yield r.ResponsesMessage(role="assistant", content=content)
    for call in message.tool_calls or ():
        match call:
            case c.ChatFunctionToolCallParam(id=call_id, function=function):
                yield r.ResponsesFunctionCall(
                    type="function_call", call_id=call_id, name=function.name, arguments=function.arguments
                )
            case c.ChatCustomToolCallParam(id=call_id, custom=custom):
                free_text.add(call_id)
                yield r.ResponsesCustomToolCall(
                    type="custom_tool_call", call_id=call_id, name=custom.name, input=custom.input
                )
            case _:
                assert_never(call)


def _assistant_content(message: c.ChatAssistantMessage, path: str) -> str | list[r.ResponsesPart] | None:
    """Say the text and the refusal; nothing where the message only calls tools."""
    content = message.content
    if isinstance(content, str) and not message.refusal:
        return content if content or not message.tool_calls else None
    texts = [c.ChatTextPart(text=content)] if isinstance(content, str) and content else []
    parts = [*map(_assistant_part, content if isinstance(content, list) else texts)]
    if message.refusal:
        parts.append(r.ResponsesRefusal(refusal=message.refusal))
    if not parts and not message.tool_calls:
        raise Untranslatable(f"{path}.content", "should be a text where the message calls no tools")
    return parts or None


def _assistant_part(part: c.ChatAssistantContentPart) -> r.ResponsesPart:
    if isinstance(part, c.ChatRefusalPart):
        return r.ResponsesRefusal(refusal=part.refusal)
    return r.ResponsesOutputText(text=part.text, annotations=[])
