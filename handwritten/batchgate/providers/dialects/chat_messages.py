"""Builds messages of a Chat Completions request from the content of other formats."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c


class AssistantParts(Struct):
    """The content of an assistant message by field, added in this order."""

    thinking: list[str]
    texts: list[c.ChatTextPart]
    calls: list[c.ChatToolCallParam]


def assistant_message(parts: AssistantParts, target: ServerCapabilities) -> c.ChatAssistantMessage:
    """Return the message; thoughts go into the field in which the server accepts them."""
    thought: str | UnsetType = "\n".join(parts.thinking) if parts.thinking else UNSET
    return c.ChatAssistantMessage(
        content=_assistant_content(parts.texts),
        tool_calls=parts.calls or UNSET,
        reasoning=thought if target.reasoning_field == "reasoning" else UNSET,
        reasoning_content=thought if target.reasoning_field == "reasoning_content" else UNSET,
    )


def _assistant_content(texts: list[c.ChatTextPart]) -> str | list[c.ChatAssistantContentPart] | None:
    match texts:
        case []:
            return None
        case [text]:
            return text.text
        case _:
            return [*texts]


def simplest_text(parts: list[c.ChatTextPart]) -> c.ChatTextContent:
    """Return a single part as a string: both mean the same, and every server accepts the string."""
    match parts:
        case []:
            return ""
        case [part]:
            return part.text
        case _:
            return parts
