"""Translates messages of Chat Completions to items of Responses.

One assistant message becomes several items: its text, then each of its tool calls.
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
    """The instructions and the input, which Chat Completions has in one list."""

    instructions: str | UnsetType
    input: list[Raw]


def translate_conversation(messages: Sequence[c.ChatMessageParam]) -> Conversation:
    """Translate all messages; raises `Untranslatable` with the path of the unsupported part."""
    instructions, start = _instructions(messages)
    custom_call_ids: set[str] = set()
    items: list[Raw] = []
    for index in range(start, len(messages)):
        found = _items(messages[index], custom_call_ids, f"messages.{index}")
        items.extend(Raw(msgspec.json.encode(item)) for item in found)
    return Conversation(instructions, items)


def _instructions(messages: Sequence[c.ChatMessageParam]) -> tuple[str | UnsetType, int]:
    """Return the instructions, and the index of the first message of the input."""
    match messages:
        case [c.ChatSystemMessage(content=str() as text) as message, *_] if text:
            REJECTED.check(message, "messages.0")
            return text, 1
        case _:
            return UNSET, 0


def _items(message: c.ChatMessageParam, custom_call_ids: set[str], path: str) -> Iterator[Struct]:
    """Translate one message; ``custom_call_ids`` collects the ids of custom tool calls, for their outputs."""
    REJECTED.check(message, path)
    match message:
        case c.ChatSystemMessage(content=content):
            yield r.ResponsesMessage(role="system", content=_texts(content))
        case c.ChatDeveloperMessage(content=content):
            yield r.ResponsesMessage(role="developer", content=_texts(content))
        case c.ChatUserMessage(content=content):
            yield r.ResponsesMessage(role="user", content=_user_content(content, f"{path}.content"))
        case c.ChatToolMessage(content=content, tool_call_id=call_id) if call_id in custom_call_ids:
            yield r.ResponsesCustomToolCallOutput(
                type="custom_tool_call_output", call_id=call_id, output=_texts(content)
            )
        case c.ChatToolMessage(content=content, tool_call_id=call_id):
            yield r.ResponsesFunctionCallOutput(type="function_call_output", call_id=call_id, output=_texts(content))
        case c.ChatAssistantMessage():
            yield from _assistant_items(message, custom_call_ids, path)
        case c.ChatFunctionMessage():
            raise REJECTED.error(message, path)
        case _:
            assert_never(message)


def _texts(content: c.ChatTextContent | None) -> str | list[r.ResponsesPart]:
    return [_input_text(part) for part in content] if isinstance(content, list) else content or ""


def _input_text(part: c.ChatTextPart) -> r.ResponsesInputText:
    cache_breakpoint = _breakpoint(part.prompt_cache_breakpoint)
    return r.ResponsesInputText(text=part.text, prompt_cache_breakpoint=cache_breakpoint)


def _user_content(content: str | list[c.ChatContentPart] | None, path: str) -> str | list[r.ResponsesPart]:
    if not isinstance(content, list):
        return content or ""
    return [_user_part(part, f"{path}.{index}") for index, part in enumerate(content)]


def _user_part(part: c.ChatContentPart, path: str) -> r.ResponsesPart:
    REJECTED.check(part, path)
    match part:
        case c.ChatTextPart():
            return _input_text(part)
        case c.ChatImagePart(image_url=image):
            cache_breakpoint = _breakpoint(part.prompt_cache_breakpoint)
            return r.ResponsesInputImage(
                image_url=image.url, detail=unset_if_null(image.detail), prompt_cache_breakpoint=cache_breakpoint
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


def _breakpoint(
    cache_breakpoint: c.ChatPromptCacheBreakpoint | UnsetType | None,
) -> r.ResponsesPromptCacheBreakpoint | UnsetType:
    return (
        r.ResponsesPromptCacheBreakpoint(mode=cache_breakpoint.mode, ttl=unset_if_null(cache_breakpoint.ttl))
        if cache_breakpoint
        else UNSET
    )


def _assistant_items(message: c.ChatAssistantMessage, custom_call_ids: set[str], path: str) -> Iterator[Struct]:
    content = _assistant_content(message, path)
    if content is not None:
        yield r.ResponsesMessage(role="assistant", content=content)
    for call in message.tool_calls or ():
        match call:
            case c.ChatFunctionToolCallParam(id=call_id, function=function):
                yield r.ResponsesFunctionCall(
                    type="function_call", call_id=call_id, name=function.name, arguments=function.arguments or "{}"
                )
            case c.ChatCustomToolCallParam(id=call_id, custom=custom):
                custom_call_ids.add(call_id)
                yield r.ResponsesCustomToolCall(
                    type="custom_tool_call", call_id=call_id, name=custom.name, input=custom.input
                )
            case _:
                assert_never(call)


def _assistant_content(message: c.ChatAssistantMessage, path: str) -> str | list[r.ResponsesPart] | None:
    """Translate the text and the refusal; None if the message has only tool calls."""
    content = message.content
    if isinstance(content, str) and not message.refusal:
        return content if content or not message.tool_calls else None
    texts = [c.ChatTextPart(text=content)] if isinstance(content, str) and content else []
    parts = [*map(_assistant_part, content if isinstance(content, list) else texts)]
    if message.refusal:
        parts.append(r.ResponsesRefusal(refusal=message.refusal))
    if not parts and not message.tool_calls:
        raise Untranslatable(f"{path}.content", "should be text, as the message has no tool calls")
    return parts or None


def _assistant_part(part: c.ChatAssistantContentPart) -> r.ResponsesPart:
    if isinstance(part, c.ChatRefusalPart):
        return r.ResponsesRefusal(refusal=part.refusal)
    return r.ResponsesOutputText(text=part.text, annotations=[])
