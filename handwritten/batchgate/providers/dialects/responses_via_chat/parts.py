"""Translates the content parts of a message: Responses to Chat Completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import UNSET, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.responses_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.rules import unset_if_null
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import responses as r


def text_content(content: str | Sequence[r.ResponsesPart], path: str, target: ServerCapabilities) -> c.ChatTextContent:
    """Translate content that can only be text: instructions and tool outputs."""
    if isinstance(content, str):
        return content
    parts: list[c.ChatTextPart] = []
    for index, part in enumerate(content):
        if not isinstance(part, r.ResponsesInputText | r.ResponsesOutputText):
            raise Untranslatable(f"{path}.{index}", "should be text, as only text is allowed here")
        parts.append(_text_part(part, f"{path}.{index}", target))
    _reject_empty(parts, path)
    return simplest_content(parts)


def user_content(
    content: str | Sequence[r.ResponsesPart], path: str, target: ServerCapabilities
) -> str | list[c.ChatContentPart]:
    """Translate the content of a user message."""
    if isinstance(content, str):
        return content
    parts = [_user_part(part, f"{path}.{index}", target) for index, part in enumerate(content)]
    _reject_empty(parts, path)
    match parts:
        case [c.ChatTextPart(text=text, prompt_cache_breakpoint=UnsetType())]:
            return text
        case _:
            return parts


def assistant_content(
    content: str | Sequence[r.ResponsesPart], path: str, target: ServerCapabilities
) -> str | list[c.ChatAssistantContentPart]:
    """Translate the content of an assistant message."""
    if isinstance(content, str):
        return content
    parts: list[c.ChatAssistantContentPart] = []
    for index, part in enumerate(content):
        match part:
            case r.ResponsesRefusal(refusal=refusal):
                parts.append(c.ChatRefusalPart(refusal=refusal))
            case r.ResponsesOutputText() | r.ResponsesInputText():
                parts.append(_text_part(part, f"{path}.{index}", target))
            case _:
                raise Untranslatable(f"{path}.{index}", "such parts are allowed only in user messages")
    _reject_empty(parts, path)
    match parts:
        case [c.ChatTextPart(text=text, prompt_cache_breakpoint=UnsetType())]:
            return text
        case _:
            return parts


def simplest_content(parts: list[c.ChatTextPart]) -> c.ChatTextContent:
    """Return a single part as a string: both mean the same, and every server accepts the string."""
    match parts:
        case [c.ChatTextPart(text=text, prompt_cache_breakpoint=UnsetType())]:
            return text
        case _:
            return parts


def _reject_empty(parts: Sequence[object], path: str) -> None:
    if not parts:
        raise Untranslatable(path, "should have at least one part")


def _user_part(part: r.ResponsesPart, path: str, target: ServerCapabilities) -> c.ChatContentPart:
    match part:
        case r.ResponsesInputText():
            return _text_part(part, path, target)
        case r.ResponsesInputImage():
            return _image_part(part, path, target)
        case r.ResponsesInputFile():
            return _file_part(part, path, target)
        case r.ResponsesInputAudio(input_audio=audio):
            return c.ChatAudioPart(input_audio=c.ChatInputAudio(data=audio.data, format=audio.format))
        case r.ResponsesOutputText() | r.ResponsesRefusal():
            raise Untranslatable(path, "such parts are allowed only in assistant messages")
        case _:
            assert_never(part)


def _text_part(
    part: r.ResponsesInputText | r.ResponsesOutputText, path: str, target: ServerCapabilities
) -> c.ChatTextPart:
    REJECTED.check(part, path)
    if isinstance(part, r.ResponsesOutputText):
        return c.ChatTextPart(text=part.text)
    return c.ChatTextPart(text=part.text, prompt_cache_breakpoint=_breakpoint(part.prompt_cache_breakpoint, target))


def _image_part(part: r.ResponsesInputImage, path: str, target: ServerCapabilities) -> c.ChatImagePart:
    REJECTED.check(part, path)
    if not part.image_url:
        raise Untranslatable(f"{path}.image_url", "Field required")
    if not target.image_urls and not part.image_url.startswith("data:"):
        raise Untranslatable(f"{path}.image_url", f"{target.name} does not download images; send it as base64")
    return c.ChatImagePart(
        image_url=c.ChatImageUrl(url=part.image_url, detail=unset_if_null(part.detail)),
        prompt_cache_breakpoint=_breakpoint(part.prompt_cache_breakpoint, target),
    )


def _file_part(part: r.ResponsesInputFile, path: str, target: ServerCapabilities) -> c.ChatFilePart:
    REJECTED.check(part, path)
    if not part.file_data:
        raise Untranslatable(f"{path}.file_data", "Field required")
    return c.ChatFilePart(
        file=c.ChatFile(file_data=part.file_data, filename=unset_if_null(part.filename)),
        prompt_cache_breakpoint=_breakpoint(part.prompt_cache_breakpoint, target),
    )


def _breakpoint(
    cache_breakpoint: r.ResponsesPromptCacheBreakpoint | UnsetType | None, target: ServerCapabilities
) -> c.ChatPromptCacheBreakpoint | UnsetType:
    if not cache_breakpoint or not target.openai_fields:
        return UNSET
    return c.ChatPromptCacheBreakpoint(mode=cache_breakpoint.mode, ttl=unset_if_null(cache_breakpoint.ttl))
