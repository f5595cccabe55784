"""Translates the messages of a conversation: Messages to Chat Completions.

A message of Messages has blocks in any order. A Chat Completions message has one field each for reasoning, text and
tool calls, and tool results are separate messages. A message is rejected if the order of its blocks would be lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_messages import AssistantParts, assistant_message, simplest_text
from batchgate.providers.dialects.messages_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.rules import is_empty
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.dialects.signature_blocks import signature_of
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

TextContent: TypeAlias = str | list[c.ChatTextPart]

_CALLER: Final = msgspec.json.Decoder(m.ToolKind)


def chat_messages(
    system: str | list[m.TextBlockParam] | UnsetType, turns: Sequence[m.MessageParam], target: ServerCapabilities
) -> list[c.ChatMessageParam]:
    """Translate the system prompt and all messages; raises `Untranslatable` with the path of the unsupported part."""
    messages: list[c.ChatMessageParam] = []
    if system:
        messages.append(c.ChatSystemMessage(content=_text_content(system, "system")))
    for index, turn in enumerate(turns):
        path = f"messages.{index}"
        match turn:
            case m.UserMessageParam(content=content):
                messages.extend(_user_messages(content, f"{path}.content", target))
            case m.AssistantMessageParam(content=content):
                messages.append(_assistant_message(content, f"{path}.content", target))
            case m.SystemMessageParam():
                messages.append(_system_message(turn, path))
            case _:
                assert_never(turn)
    return messages


def ends_in_prefill(turns: Sequence[m.MessageParam], target: ServerCapabilities) -> bool:
    """Return whether the last message starts the answer; raises `Untranslatable` if the server cannot continue it."""
    if not turns or not isinstance(turns[-1], m.AssistantMessageParam):
        return False
    if not target.prefill:
        raise Untranslatable(
            f"messages.{len(turns) - 1}", f"{target.name} cannot continue a partial answer; end with a user message"
        )
    return True


def _system_message(turn: m.SystemMessageParam, path: str) -> c.ChatSystemMessage:
    REJECTED.check(turn, path)
    if isinstance(turn.content, UnsetType):
        raise Untranslatable(f"{path}.content", "Field required")
    if not isinstance(turn.content, str):
        _reject_empty(turn.content, f"{path}.content")
    return c.ChatSystemMessage(content=_text_content(turn.content, f"{path}.content"))


def _text_content(
    content: str | Sequence[m.TextBlockParam | m.ToolAdditionBlockParam | m.ToolRemovalBlockParam], path: str
) -> TextContent:
    if isinstance(content, str):
        return content
    parts: list[c.ChatTextPart] = []
    for index, block in enumerate(content):
        if not isinstance(block, m.TextBlockParam):
            raise REJECTED.error(block, f"{path}.{index}")
        parts.append(_text_part(block, f"{path}.{index}"))
    return simplest_text(parts)


def _text_part(block: m.TextBlockParam, path: str) -> c.ChatTextPart:
    REJECTED.check(block, path)
    return c.ChatTextPart(text=block.text)


# ---------------------------------------------------------------- user messages


def _user_messages(content: m.MessageContent, path: str, target: ServerCapabilities) -> Iterator[c.ChatMessageParam]:
    if isinstance(content, str):
        yield c.ChatUserMessage(content=content)
        return
    parts: list[c.ChatContentPart] = []
    for index, block in enumerate(content):
        if isinstance(block, m.ToolResultBlockParam):
            if parts:
                raise Untranslatable(
                    f"{path}.{index}", "tool_result blocks should come before the other blocks of the message"
                )
            yield _tool_message(block, f"{path}.{index}")
        else:
            parts.append(_user_part(block, f"{path}.{index}", target))
    match parts:
        case []:
            _reject_empty(content, path)
        case [c.ChatTextPart(text=text)]:
            yield c.ChatUserMessage(content=text)
        case _:
            yield c.ChatUserMessage(content=parts)


def _reject_empty(content: Sequence[object], path: str) -> None:
    """Reject a message without blocks, which would be lost."""
    if not content:
        raise Untranslatable(path, "should have at least one block")


def _user_part(block: m.ContentBlockParam, path: str, target: ServerCapabilities) -> c.ChatContentPart:
    match block:
        case m.TextBlockParam():
            return _text_part(block, path)
        case m.ImageBlockParam():
            return _image_part(block, path, target)
        case m.ThinkingBlockParam() | m.ToolUseBlockParam():
            raise Untranslatable(path, "such blocks are allowed only in assistant messages")
        case _:
            raise REJECTED.error(block, path)


def _image_part(block: m.ImageBlockParam, path: str, target: ServerCapabilities) -> c.ChatImagePart:
    REJECTED.check(block, path)
    match block.source:
        case m.Base64ImageSource(media_type=media_type, data=data):
            url = f"data:{media_type};base64,{data}"
        case m.UrlImageSource(url=url):
            if not target.image_urls:
                raise Untranslatable(f"{path}.source", f"{target.name} does not download images; send it as base64")
        case m.FileImageSource():
            raise REJECTED.error(block.source, f"{path}.source")
        case _:
            assert_never(block.source)
    return c.ChatImagePart(image_url=c.ChatImageUrl(url=url))


def _tool_message(block: m.ToolResultBlockParam, path: str) -> c.ChatToolMessage:
    REJECTED.check(block, path)
    content = _tool_content(block.content or "", f"{path}.content")
    if block.is_error:
        content = _mark_as_error(content)
    return c.ChatToolMessage(content=content, tool_call_id=block.tool_use_id)


def _tool_content(content: str | Sequence[m.ToolResultContentBlock], path: str) -> TextContent:
    if isinstance(content, str):
        return content
    parts: list[c.ChatTextPart] = []
    for index, block in enumerate(content):
        match block:
            case m.TextBlockParam():
                parts.append(_text_part(block, f"{path}.{index}"))
            case m.ImageBlockParam():
                raise Untranslatable(
                    f"{path}.{index}",
                    "tool results can only be text there; put the image after the tool_result blocks of the message",
                )
            case _:
                raise REJECTED.error(block, f"{path}.{index}")
    return simplest_text(parts)


def _mark_as_error(content: TextContent) -> TextContent:
    """Mark a tool result as failed with a prefix, as Chat Completions has no field for it."""
    if isinstance(content, str):
        return f"Error: {content}" if content else "Error"
    return [c.ChatTextPart(text="Error:"), *content]


# ---------------------------------------------------------------- assistant messages


class _AssistantParts(AssistantParts):
    """The content of an assistant message, and what the next call needs."""

    signature: str | None = None
    """Gemini's thought signature for the next call."""


def _assistant_message(content: m.MessageContent, path: str, target: ServerCapabilities) -> c.ChatAssistantMessage:
    if isinstance(content, str):
        return c.ChatAssistantMessage(content=content)
    _reject_empty(content, path)
    parts = _AssistantParts([], [], [])
    for index, block in enumerate(content):
        _add_block(block, parts, f"{path}.{index}", target)
    return assistant_message(parts, target)


def _add_block(block: m.ContentBlockParam, parts: _AssistantParts, path: str, target: ServerCapabilities) -> None:
    match block:
        case m.ThinkingBlockParam(thinking=thinking):
            if target.reasoning_field is None:
                raise Untranslatable(
                    path, f"{target.name} does not accept the model's earlier reasoning; leave thinking blocks out"
                )
            if parts.texts or parts.calls:
                raise Untranslatable(path, "thinking should come before the text and tool_use blocks of the message")
            parts.thinking.append(thinking)
        case m.TextBlockParam():
            if parts.calls:
                raise Untranslatable(path, "text should come before the tool_use blocks of the message")
            parts.texts.append(_text_part(block, path))
        case m.ToolUseBlockParam():
            parts.calls.append(_tool_call(block, path, parts.signature if target.thought_signatures else None))
            parts.signature = None
        case m.RedactedThinkingBlockParam(data=data) if (signature := signature_of(data)) is not None:
            parts.signature = signature
        case m.ImageBlockParam() | m.ToolResultBlockParam():
            raise Untranslatable(path, "such blocks are allowed only in user messages")
        case _:
            raise REJECTED.error(block, path)


def _tool_call(block: m.ToolUseBlockParam, path: str, signature: str | None) -> c.ChatFunctionToolCallParam:
    REJECTED.check(block, path)
    if not is_empty(block.caller) and not _is_direct(block.caller):
        raise Untranslatable(f"{path}.caller", "only direct calls by the model are supported")
    arguments = bytes(block.input).decode()
    if not arguments.startswith("{"):
        raise Untranslatable(f"{path}.input", "Input should be an object")
    google = c.ChatGoogleContent(thought_signature=signature)
    return c.ChatFunctionToolCallParam(
        id=block.id,
        function=c.ChatFunctionCall(name=block.name, arguments=arguments),
        extra_content=c.ChatExtraContent(google=google) if signature else UNSET,
    )


def _is_direct(caller: Raw | UnsetType) -> bool:
    try:
        return isinstance(caller, Raw) and _CALLER.decode(caller).type == "direct"
    except msgspec.ValidationError:
        return False
