"""Translates the messages of a conversation: Chat Completions to Messages.

Chat Completions has one message for each tool result. Messages has tool_result blocks at the start of a user message:
consecutive results are merged into the user message that follows them.

Anthropic rejects blank text blocks and messages without content. So blank texts, and messages in which nothing else
remains, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.providers.dialects.chat_fields import assistant_texts, has_content
from batchgate.providers.dialects.chat_via_messages.request_rules import REJECTED
from batchgate.providers.dialects.chat_via_messages.sources import document_block, image_block
from batchgate.providers.dialects.tool_arguments import arguments_object
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

SystemPrompt: TypeAlias = str | list[m.TextBlockParam]
Instructions: TypeAlias = c.ChatSystemMessage | c.ChatDeveloperMessage


class Conversation(Struct, frozen=True):
    """The system prompt and the messages, which Chat Completions has in one list."""

    system: SystemPrompt | UnsetType
    turns: list[m.MessageParam]


def translate_conversation(messages: Sequence[c.ChatMessageParam]) -> Conversation:
    """Translate all messages; raises `Untranslatable` with the path of the unsupported part."""
    leading = [*takewhile(lambda message: isinstance(message, Instructions), messages)]
    return Conversation(_system(leading), [*_turns(messages, len(leading))])


def _system(leading: Sequence[c.ChatMessageParam]) -> SystemPrompt | UnsetType:
    blocks: list[m.TextBlockParam] = []
    for index, message in enumerate(leading):
        assert isinstance(message, Instructions)
        blocks.extend(_instructions(message, f"messages.{index}"))
    match blocks:
        case []:
            return UNSET
        case [block]:
            return block.text
        case _:
            return blocks


def _instructions(message: Instructions, path: str) -> list[m.TextBlockParam]:
    REJECTED.check(message, path)
    return _texts(message.content)


def _texts(content: c.ChatTextContent | None) -> list[m.TextBlockParam]:
    texts = [content] if isinstance(content, str) else [part.text for part in content or ()]
    return [m.TextBlockParam(text=text) for text in texts if has_content(text)]


def _turns(messages: Sequence[c.ChatMessageParam], start: int) -> Iterator[m.MessageParam]:
    results: list[m.ContentBlockParam] = []
    for index in range(start, len(messages)):
        message, path = messages[index], f"messages.{index}"
        if isinstance(message, c.ChatToolMessage):
            results.append(_tool_result(message))
            continue
        blocks = _user_blocks(message, path) if isinstance(message, c.ChatUserMessage) else []
        if results or blocks:
            yield m.UserMessageParam(content=_simplest_content([*results, *blocks]))
        results = []
        if not isinstance(message, c.ChatUserMessage):
            yield from _other_turn(message, path)
    if results:
        yield m.UserMessageParam(content=results)


def _other_turn(
    message: Instructions | c.ChatAssistantMessage | c.ChatFunctionMessage, path: str
) -> Iterator[m.AssistantMessageParam | m.SystemMessageParam]:
    match message:
        case c.ChatAssistantMessage():
            if said := _assistant_blocks(message, path):
                yield m.AssistantMessageParam(content=_simplest_content(said))
        case c.ChatSystemMessage() | c.ChatDeveloperMessage():
            if instructions := _instructions(message, path):
                yield m.SystemMessageParam(content=_simplest_instructions(instructions))
        case c.ChatFunctionMessage():
            raise REJECTED.error(message, path)
        case _:
            assert_never(message)


def _simplest_instructions(blocks: list[m.TextBlockParam]) -> str | list[m.SystemContentBlock]:
    return blocks[0].text if len(blocks) == 1 else [*blocks]


# ---------------------------------------------------------------- user messages


def _user_blocks(message: c.ChatUserMessage, path: str) -> list[m.ContentBlockParam]:
    REJECTED.check(message, path)
    if isinstance(message.content, str):
        return [*_texts(message.content)]
    return [
        _user_block(part, f"{path}.content.{index}")
        for index, part in enumerate(message.content or ())
        if not isinstance(part, c.ChatTextPart) or has_content(part.text)
    ]


def _simplest_content(blocks: list[m.ContentBlockParam]) -> m.MessageContent:
    match blocks:
        case [m.TextBlockParam(text=text)]:
            return text
        case _:
            return blocks


def _user_block(part: c.ChatContentPart, path: str) -> m.ContentBlockParam:
    match part:
        case c.ChatTextPart(text=text):
            return m.TextBlockParam(text=text)
        case c.ChatImagePart(image_url=image):
            REJECTED.check(image, f"{path}.image_url")
            return image_block(image.url, f"{path}.image_url.url")
        case c.ChatFilePart(file=file):
            REJECTED.check(file, f"{path}.file")
            return document_block(file, f"{path}.file")
        case c.ChatAudioPart():
            raise REJECTED.error(part, path)
        case _:
            assert_never(part)


def _tool_result(message: c.ChatToolMessage) -> m.ToolResultBlockParam:
    texts = _texts(message.content)
    content: str | list[m.ToolResultContentBlock] = texts[0].text if len(texts) == 1 else [*texts]
    return m.ToolResultBlockParam(tool_use_id=message.tool_call_id, content=content or UNSET)


# ---------------------------------------------------------------- assistant messages


def _assistant_blocks(message: c.ChatAssistantMessage, path: str) -> list[m.ContentBlockParam]:
    REJECTED.check(message, path)
    blocks: list[m.ContentBlockParam] = [
        m.TextBlockParam(text=text) for text in assistant_texts(message) if has_content(text)
    ]
    for index, call in enumerate(message.tool_calls or ()):
        blocks.append(_tool_use(call, f"{path}.tool_calls.{index}"))
    return blocks


def _tool_use(call: c.ChatToolCallParam, path: str) -> m.ToolUseBlockParam:
    if not isinstance(call, c.ChatFunctionToolCallParam):
        raise REJECTED.error(call, path)
    arguments = Raw(msgspec.json.encode(call.function.arguments))
    return m.ToolUseBlockParam(id=call.id, name=call.function.name, input=arguments_object(arguments))
