"""Translates the messages of a conversation: Chat Completions to Converse.

Converse wants the roles to alternate and the user to begin. So consecutive messages of one role are merged, and tool
results, which Chat Completions has in messages of their own, become blocks of a user message. Bedrock rejects blank
texts: they, and messages in which nothing else remains, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Literal, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_fields import assistant_texts, has_content
from batchgate.providers.dialects.chat_via_converse.request_rules import REJECTED
from batchgate.providers.dialects.chat_via_converse.sources import DocumentNames, document_block, image_block
from batchgate.providers.dialects.tool_arguments import arguments_object
from batchgate.providers.dialects.tool_names import fit_tool_name
from batchgate_api import chat_completions as c
from batchgate_api import converse as v

Instructions: TypeAlias = c.ChatSystemMessage | c.ChatDeveloperMessage
Role: TypeAlias = Literal["user", "assistant"]


class Conversation(Struct, frozen=True):
    """The instructions and the messages, which Chat Completions has in one list."""

    system: list[v.ConverseSystemBlock] | UnsetType
    turns: list[v.ConverseMessage]
    has_tool_blocks: bool


def translate_conversation(messages: Sequence[c.ChatMessageParam]) -> Conversation:
    """Translate all messages; raises `Untranslatable` with the path of the unsupported part."""
    leading = [*takewhile(lambda message: isinstance(message, Instructions), messages)]
    system = [
        v.ConverseSystemBlock(text=text)
        for index, message in enumerate(leading)
        for text in _instructions(message, f"messages.{index}")
    ]
    names = DocumentNames()
    turns: list[v.ConverseMessage] = []
    for index, message in enumerate(messages[len(leading) :], len(leading)):
        role, blocks = _turn(message, f"messages.{index}", names)
        if turns and turns[-1].role == role:
            turns[-1].content.extend(blocks)
        elif blocks:
            turns.append(v.ConverseMessage(role=role, content=blocks))
    _check_order(turns, messages)
    used = any(block.toolUse or block.toolResult for turn in turns for block in turn.content)
    return Conversation(system or UNSET, turns, used)


def _check_order(turns: Sequence[v.ConverseMessage], messages: Sequence[c.ChatMessageParam]) -> None:
    """Reject a conversation that Bedrock would reject, or that would have the model continue its own message."""
    if not turns:
        raise Untranslatable("messages", "should have at least one message with content beside the instructions")
    said = [index for index, message in enumerate(messages) if isinstance(message, c.ChatAssistantMessage)]
    if turns[0].role == "assistant":
        raise Untranslatable(f"messages.{said[0]}", "Converse begins with a user message; put one before it")
    if turns[-1].role == "assistant":
        raise Untranslatable(f"messages.{said[-1]}", "Converse does not continue it; end with a user message")


def _instructions(message: c.ChatMessageParam, path: str) -> Iterator[str]:
    assert isinstance(message, Instructions)
    REJECTED.check(message, path)
    return _texts(message.content)


def _texts(content: c.ChatTextContent | None) -> Iterator[str]:
    texts = [content] if isinstance(content, str) else [part.text for part in content or ()]
    return filter(has_content, texts)


def _turn(message: c.ChatMessageParam, path: str, names: DocumentNames) -> tuple[Role, list[v.ConverseBlock]]:
    match message:
        case c.ChatUserMessage():
            return "user", _user_blocks(message, path, names)
        case c.ChatToolMessage():
            return "user", [_tool_result(message)]
        case c.ChatAssistantMessage():
            return "assistant", [*_assistant_blocks(message, path)]
        case c.ChatSystemMessage() | c.ChatDeveloperMessage():
            raise Untranslatable(
                f"{path}.role", "Converse has instructions only before the conversation; move them there"
            )
        case c.ChatFunctionMessage():
            raise REJECTED.error(message, path)
        case _:
            assert_never(message)


# ---------------------------------------------------------------- user messages


def _user_blocks(message: c.ChatUserMessage, path: str, names: DocumentNames) -> list[v.ConverseBlock]:
    REJECTED.check(message, path)
    if isinstance(message.content, str):
        return [v.ConverseBlock(text=text) for text in _texts(message.content)]
    blocks = [
        _user_block(part, f"{path}.content.{index}", names)
        for index, part in enumerate(message.content or ())
        if not isinstance(part, c.ChatTextPart) or has_content(part.text)
    ]
    if any(block.document for block in blocks) and not any(block.text for block in blocks):
        raise Untranslatable(f"{path}.content", "Converse accepts a document only beside a text; add one")
    return blocks


def _user_block(part: c.ChatContentPart, path: str, names: DocumentNames) -> v.ConverseBlock:
    match part:
        case c.ChatTextPart(text=text):
            return v.ConverseBlock(text=text)
        case c.ChatImagePart(image_url=image):
            REJECTED.check(image, f"{path}.image_url")
            return image_block(image.url, f"{path}.image_url.url")
        case c.ChatFilePart(file=file):
            REJECTED.check(file, f"{path}.file")
            return document_block(file, f"{path}.file", names)
        case c.ChatAudioPart():
            raise REJECTED.error(part, path)
        case _:
            assert_never(part)


def _tool_result(message: c.ChatToolMessage) -> v.ConverseBlock:
    content = [v.ConverseToolResultBlock(text=text) for text in _texts(message.content)]
    return v.ConverseBlock(toolResult=v.ConverseToolResult(toolUseId=message.tool_call_id, content=content))


# ---------------------------------------------------------------- assistant messages


def _assistant_blocks(message: c.ChatAssistantMessage, path: str) -> Iterator[v.ConverseBlock]:
    REJECTED.check(message, path)
    yield from (v.ConverseBlock(text=text) for text in assistant_texts(message) if has_content(text))
    for index, call in enumerate(message.tool_calls or ()):
        yield _tool_use(call, f"{path}.tool_calls.{index}")


def _tool_use(call: c.ChatToolCallParam, path: str) -> v.ConverseBlock:
    if not isinstance(call, c.ChatFunctionToolCallParam):
        raise REJECTED.error(call, path)
    return v.ConverseBlock(
        toolUse=v.ConverseToolUse(
            toolUseId=call.id,
            name=fit_tool_name(call.function.name, f"{path}.function.name"),
            input=arguments_object(Raw(msgspec.json.encode(call.function.arguments))),
        )
    )
