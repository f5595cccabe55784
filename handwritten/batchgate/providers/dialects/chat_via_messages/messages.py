"""Translates the messages of a conversation: Chat Completions to Messages.

Chat Completions has one message for each tool result. Messages has tool_result blocks at the start of a user message:
consecutive results are merged into the user message that follows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_via_messages.request_rules import REJECTED
from batchgate.providers.dialects.chat_via_messages.sources import document_block, image_block
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

SystemPrompt: TypeAlias = str | list[m.TextBlockParam]
Instructions: TypeAlias = c.ChatSystemMessage | c.ChatDeveloperMessage

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


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


def _texts(content: c.ChatTextContent) -> list[m.TextBlockParam]:
    if isinstance(content, str):
        return [m.TextBlockParam(text=content)]
    return [m.TextBlockParam(text=part.text) for part in content]


def _turns(messages: Sequence[c.ChatMessageParam], start: int) -> Iterator[m.MessageParam]:
    results: list[m.ContentBlockParam] = []
    for index in range(start, len(messages)):
        message, path = messages[index], f"messages.{index}"
        if isinstance(message, c.ChatToolMessage):
            results.append(_tool_result(message))
            continue
        if isinstance(message, c.ChatUserMessage):
            yield _user_turn(message, results, path)
        else:
            if results:
                yield m.UserMessageParam(content=results)
            yield _other_turn(message, path)
        results = []
    if results:
        yield m.UserMessageParam(content=results)


def _other_turn(
    message: Instructions | c.ChatAssistantMessage | c.ChatFunctionMessage, path: str
) -> m.AssistantMessageParam | m.SystemMessageParam:
    match message:
        case c.ChatAssistantMessage():
            return _assistant_turn(message, path)
        case c.ChatSystemMessage() | c.ChatDeveloperMessage():
            return m.SystemMessageParam(content=_simplest_instructions(_instructions(message, path)))
        case c.ChatFunctionMessage():
            raise REJECTED.error(message, path)
        case _:
            assert_never(message)


def _simplest_instructions(blocks: list[m.TextBlockParam]) -> str | list[m.SystemContentBlock]:
    return blocks[0].text if len(blocks) == 1 else [*blocks]


# ---------------------------------------------------------------- user messages


def _user_turn(message: c.ChatUserMessage, results: list[m.ContentBlockParam], path: str) -> m.UserMessageParam:
    REJECTED.check(message, path)
    if isinstance(message.content, str):
        blocks: list[m.ContentBlockParam] = [m.TextBlockParam(text=message.content)]
    else:
        blocks = [_user_block(part, f"{path}.content.{index}") for index, part in enumerate(message.content)]
    if not blocks:
        raise Untranslatable(f"{path}.content", "should have at least one part")
    return m.UserMessageParam(content=_simplest_content([*results, *blocks]))


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


def _assistant_turn(message: c.ChatAssistantMessage, path: str) -> m.AssistantMessageParam:
    REJECTED.check(message, path)
    blocks: list[m.ContentBlockParam] = [*_assistant_texts(message)]
    for index, call in enumerate(message.tool_calls or ()):
        blocks.append(_tool_use(call, f"{path}.tool_calls.{index}"))
    if not blocks and message.content != "":
        raise Untranslatable(f"{path}.content", "should be text, as the message has no tool calls")
    return m.AssistantMessageParam(content=_simplest_content(blocks) if blocks else "")


def _assistant_texts(message: c.ChatAssistantMessage) -> Iterator[m.TextBlockParam]:
    match message.content:
        case str() as text if text:
            yield m.TextBlockParam(text=text)
        case list() as parts:
            for part in parts:
                yield m.TextBlockParam(text=part.refusal if isinstance(part, c.ChatRefusalPart) else part.text)
        case _:
            pass
    if message.refusal:
        yield m.TextBlockParam(text=message.refusal)


def _tool_use(call: c.ChatToolCallParam, path: str) -> m.ToolUseBlockParam:
    if not isinstance(call, c.ChatFunctionToolCallParam):
        raise REJECTED.error(call, path)
    return m.ToolUseBlockParam(id=call.id, name=call.function.name, input=_input(call.function.arguments, path))


def _input(arguments: str, path: str) -> Raw:
    """Return the arguments as a JSON object; some clients send an empty text for no arguments."""
    if not arguments.strip():
        return Raw(b"{}")
    try:
        _OBJECT.decode(arguments)
    except DECODING_ERRORS as error:
        raise Untranslatable(f"{path}.function.arguments", "should be a JSON object as text") from error
    return Raw(msgspec.json.format(arguments.encode(), indent=-1))
