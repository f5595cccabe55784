"""Translates Gemini's contents to messages of Chat Completions.

Gemini pairs the results of functions with their calls by id or, without ids, by order. Chat Completions always has ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.data_urls import DataUrl
from batchgate.providers.dialects.gemini_decoding import standard_base64
from batchgate.providers.dialects.gemini_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.dialects.tool_arguments import input_text
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g

_ROLES: Final = {"user": "user", "function": "user", "model": "model"}
_AUDIO: Final[dict[str, c.ChatInputAudioFormat]] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}
_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "image/gif"})
_NO_ID: Final = frozenset({"", "null"})


def chat_messages(request: g.GeminiRequest, target: ServerCapabilities) -> list[c.ChatMessageParam]:
    """Translate the instructions and all contents; raises `Untranslatable` with the path of the unsupported part."""
    messages: list[c.ChatMessageParam] = []
    if request.systemInstruction:
        messages.extend(_system(request.systemInstruction))
    calls = _Calls(request.contents)
    for index, content in enumerate(request.contents):
        path = f"contents.{index}"
        role = _ROLES.get(content.role or "user")
        if role is None:
            raise Untranslatable(f"{path}.role", f"should be user or model, not {content.role!r}")
        for position, part in enumerate(content.parts or ()):
            REJECTED.check(part, f"{path}.parts.{position}")
        if role == "model":
            messages.extend(_assistant(content.parts or [], calls, target, path))
        else:
            messages.extend(_user(content.parts or [], calls, target, path))
    return messages


def _system(instruction: g.GeminiContent) -> Iterator[c.ChatSystemMessage]:
    parts: list[c.ChatTextPart] = []
    for index, part in enumerate(instruction.parts or ()):
        path = f"systemInstruction.parts.{index}"
        REJECTED.check(part, path)
        if part.inlineData or part.functionCall or part.functionResponse:
            raise Untranslatable(path, "instructions of Chat Completions are text; move the part to contents")
        if part.text:
            parts.append(c.ChatTextPart(text=part.text))
    if parts:
        yield c.ChatSystemMessage(content=parts[0].text if len(parts) == 1 else parts)


class _Calls:
    """Gives ids to calls without one, and pairs results with calls."""

    def __init__(self, contents: Sequence[g.GeminiContent]) -> None:
        parts = [part for content in contents for part in content.parts or ()]
        self._sent = {call_id for part in parts if part.functionCall and (call_id := _id(part.functionCall))}
        self._fresh = (made for number in count() if (made := f"call_{number}") not in self._sent)
        self._waiting: list[tuple[str, str]] = []
        """The name and the id of each call that has no result yet."""

    def of_call(self, call: g.GeminiFunctionCall) -> str:
        """Return the id for a call."""
        call_id = _id(call) or next(self._fresh)
        self._waiting.append((call.name, call_id))
        return call_id

    def of_result(self, result: g.GeminiFunctionResponse, path: str) -> str:
        """Return the id of the call of a result: by its id, or else the first call of its name without a result."""
        call_id = _id(result)
        found = next((w for w in self._waiting if (w[1] == call_id if call_id else w[0] == result.name)), None)
        if found is None:
            field, named = ("id", "id") if call_id else ("name", "name")
            reason = f"no earlier functionCall with this {named} waits for a result"
            raise Untranslatable(f"{path}.functionResponse.{field}", reason)
        self._waiting.remove(found)
        return found[1]


def _id(call: g.GeminiFunctionCall | g.GeminiFunctionResponse) -> str | None:
    """Return the id; some callers write the word null for none."""
    return call.id if call.id and call.id not in _NO_ID else None


# ---------------------------------------------------------------- user


def _user(
    parts: Sequence[g.GeminiPart], calls: _Calls, target: ServerCapabilities, path: str
) -> Iterator[c.ChatToolMessage | c.ChatUserMessage]:
    said: list[c.ChatContentPart] = []
    for index, part in enumerate(parts):
        place = f"{path}.parts.{index}"
        if part.functionCall:
            raise Untranslatable(f"{place}.functionCall", "only the model calls functions; use the role model")
        if part.functionResponse:
            if said:
                raise Untranslatable(place, "Chat Completions has results before all other parts; move it to the start")
            yield _result(part.functionResponse, calls, place)
        elif part.inlineData:
            said.append(_file(part.inlineData, target, f"{place}.inlineData"))
        elif part.text:
            said.append(c.ChatTextPart(text=part.text))
    match said:
        case []:
            pass
        case [c.ChatTextPart(text=text)]:
            yield c.ChatUserMessage(content=text)
        case _:
            yield c.ChatUserMessage(content=said)


def _result(result: g.GeminiFunctionResponse, calls: _Calls, path: str) -> c.ChatToolMessage:
    REJECTED.check(result, f"{path}.functionResponse")
    return c.ChatToolMessage(content=_result_text(result.response), tool_call_id=calls.of_result(result, path))


def _result_text(response: Raw | UnsetType) -> str:
    """Return a result as text: what stands under output or error alone, or else the object as JSON."""
    if isinstance(response, UnsetType):
        return ""
    match msgspec.json.decode(response):
        case {"output": str() as text, **others} if not others:
            return text
        case {"error": str() as text, **others} if not others:
            return f"Error: {text}"
        case {"output": output, **others} if not others:
            return msgspec.json.encode(output).decode()
        case _:
            return msgspec.json.format(bytes(response), indent=-1).decode()


def _file(blob: g.GeminiBlob, target: ServerCapabilities, path: str) -> c.ChatContentPart:
    media_type = blob.mimeType.partition(";")[0].strip().lower()
    data = standard_base64(blob.data)
    if media_type in _IMAGES:
        return c.ChatImagePart(image_url=c.ChatImageUrl(url=str(DataUrl(media_type, data))))
    if not target.openai_fields:
        raise Untranslatable(path, f"{target.name} is not known to read files of the type {media_type}")
    if media_type == "application/pdf":
        name = blob.displayName or "document.pdf"
        return c.ChatFilePart(file=c.ChatFile(file_data=str(DataUrl(media_type, data)), filename=name))
    if media_type in _AUDIO:
        return c.ChatAudioPart(input_audio=c.ChatInputAudio(data=data, format=_AUDIO[media_type]))
    raise Untranslatable(f"{path}.mimeType", f"Chat Completions has no files of the type {media_type}")


# ---------------------------------------------------------------- model


def _assistant(
    parts: Sequence[g.GeminiPart], calls: _Calls, target: ServerCapabilities, path: str
) -> Iterator[c.ChatAssistantMessage]:
    texts: list[c.ChatAssistantContentPart] = []
    made: list[c.ChatToolCallParam] = []
    for index, part in enumerate(parts):
        place = f"{path}.parts.{index}"
        if part.inlineData or part.functionResponse:
            raise Untranslatable(place, "a message from the model has only texts and calls in Chat Completions")
        if part.functionCall:
            made.append(_call(part, part.functionCall, calls, target, place))
        elif part.text and not part.thought:
            if made:
                raise Untranslatable(place, "Chat Completions has the text before all calls; move it before them")
            texts.append(c.ChatTextPart(text=part.text))
    if texts or made:
        content = texts[0].text if len(texts) == 1 and isinstance(texts[0], c.ChatTextPart) else texts or None
        yield c.ChatAssistantMessage(content=content, tool_calls=made or UNSET)


def _call(
    part: g.GeminiPart, call: g.GeminiFunctionCall, calls: _Calls, target: ServerCapabilities, path: str
) -> c.ChatFunctionToolCallParam:
    REJECTED.check(call, f"{path}.functionCall")
    arguments = "{}" if isinstance(call.args, UnsetType) else input_text(call.args)
    signature = part.thoughtSignature if target.thought_signatures else None
    extra = c.ChatExtraContent(google=c.ChatGoogleContent(thought_signature=signature)) if signature else UNSET
    return c.ChatFunctionToolCallParam(
        id=calls.of_call(call),
        function=c.ChatFunctionCall(name=call.name, arguments=arguments),
        extra_content=extra,
    )
