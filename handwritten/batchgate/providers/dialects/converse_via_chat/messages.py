"""Translates the messages of a conversation: Converse to Chat Completions.

A message of Converse has blocks in any order. A Chat Completions message has one field each for reasoning, text and
tool calls, and tool results are separate messages. A message is rejected if the order of its blocks would be lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_messages import AssistantParts, assistant_message, simplest_text
from batchgate.providers.dialects.converse_via_chat.parts import (
    check_one_field,
    file_part,
    image_part,
    tool_call,
    tool_message,
)
from batchgate.providers.dialects.converse_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.rules import is_empty
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import converse as v


def chat_messages(request: v.ConverseRequest, target: ServerCapabilities) -> list[c.ChatMessageParam]:
    """Translate the instructions and all messages; raises `Untranslatable` with the path of the unsupported part."""
    messages: list[c.ChatMessageParam] = []
    if texts := [*_system_texts(request.system or ())]:
        messages.append(c.ChatSystemMessage(content=simplest_text(texts)))
    for index, turn in enumerate(request.messages):
        messages.extend(_messages(turn, f"messages.{index}.content", target))
    return messages


def _system_texts(blocks: Sequence[v.ConverseSystemBlock]) -> Iterator[c.ChatTextPart]:
    for index, block in enumerate(blocks):
        REJECTED.check(block, f"system.{index}")
        check_one_field(block, f"system.{index}")
        if isinstance(block.text, str):
            yield c.ChatTextPart(text=block.text)


def _messages(turn: v.ConverseMessage, path: str, target: ServerCapabilities) -> Iterator[c.ChatMessageParam]:
    blocks = [(f"{path}.{index}", block) for index, block in enumerate(turn.content) if not _is_hint(block)]
    if not blocks:
        raise Untranslatable(path, "should have at least one block with content")
    for place, block in blocks:
        REJECTED.check(block, place)
        check_one_field(block, place)
    match turn.role:
        case "user":
            yield from _user_messages(blocks, target)
        case "assistant":
            yield _assistant_message(blocks, target)
        case "system":
            yield c.ChatSystemMessage(content=simplest_text([_only_text(block, place) for place, block in blocks]))


Block = tuple[str, v.ConverseBlock]
"""A block and its path."""


def _is_hint(block: v.ConverseBlock) -> bool:
    return not is_empty(block.cachePoint)


def _only_text(block: v.ConverseBlock, path: str) -> c.ChatTextPart:
    if not isinstance(block.text, str):
        raise Untranslatable(path, "such blocks are allowed only in user and assistant messages")
    return c.ChatTextPart(text=block.text)


# ---------------------------------------------------------------- user messages


def _user_messages(blocks: Sequence[Block], target: ServerCapabilities) -> Iterator[c.ChatMessageParam]:
    parts: list[c.ChatContentPart] = []
    for path, block in blocks:
        if block.toolResult:
            if parts:
                raise Untranslatable(path, "toolResult blocks should come before the other blocks of the message")
            yield tool_message(block.toolResult, f"{path}.toolResult")
        else:
            parts.append(_user_part(block, path, target))
    match parts:
        case []:
            pass
        case [c.ChatTextPart(text=text)]:
            yield c.ChatUserMessage(content=text)
        case _:
            yield c.ChatUserMessage(content=parts)


def _user_part(block: v.ConverseBlock, path: str, target: ServerCapabilities) -> c.ChatContentPart:
    if isinstance(block.text, str):
        return c.ChatTextPart(text=block.text)
    if block.image:
        return image_part(block.image, f"{path}.image")
    if block.document:
        return file_part(block.document, f"{path}.document", target)
    raise Untranslatable(path, "should be a text, an image, a document or a toolResult in a user message")


# ---------------------------------------------------------------- assistant messages


def _assistant_message(blocks: Sequence[Block], target: ServerCapabilities) -> c.ChatAssistantMessage:
    parts = AssistantParts([], [], [])
    for path, block in blocks:
        _add_block(block, parts, path, target)
    return assistant_message(parts, target)


def _add_block(block: v.ConverseBlock, parts: AssistantParts, path: str, target: ServerCapabilities) -> None:
    if block.reasoningContent:
        if parts.texts or parts.calls:
            raise Untranslatable(path, "reasoning should come before the text and toolUse blocks of the message")
        parts.thinking.append(_reasoning(block.reasoningContent, path, target))
    elif block.toolUse:
        parts.calls.append(tool_call(block.toolUse, f"{path}.toolUse"))
    elif (text := _text(block)) is not None:
        if parts.calls:
            raise Untranslatable(path, "text should come before the toolUse blocks of the message")
        parts.texts.append(c.ChatTextPart(text=text))
    else:
        raise Untranslatable(path, "should be a text, reasoning or a toolUse in an assistant message")


def _reasoning(block: v.ConverseReasoning, path: str, target: ServerCapabilities) -> str:
    REJECTED.check(block, f"{path}.reasoningContent")
    if target.reasoning_field is None:
        reason = f"{target.name} does not accept the model's earlier reasoning; leave reasoningContent out"
        raise Untranslatable(path, reason)
    if not block.reasoningText:
        raise Untranslatable(f"{path}.reasoningContent.reasoningText", "Field required")
    return block.reasoningText.text


def _text(block: v.ConverseBlock) -> str | None:
    if block.citationsContent:
        return "".join(cited.text or "" for cited in block.citationsContent.content or ())
    return block.text if isinstance(block.text, str) else None
