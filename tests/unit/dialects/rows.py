"""Rows for the tests of the dialects: short JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from batchgate.providers.dialects.messages_via_chat.answer import completion_to_message
from batchgate.providers.dialects.messages_via_chat.request import messages_to_chat
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry.known_servers import OPENAI
from batchgate_api import chat_completions, messages

Json = dict[str, Any]

USER_TURN: Json = {"role": "user", "content": "Hello"}


def params(**fields: Any) -> messages.MessageParams:
    """Decode the params of a request; what is not given is the least that a request needs."""
    row = {"model": "prefix/model", "max_tokens": 64, "messages": [USER_TURN]} | fields
    return msgspec.json.decode(msgspec.json.encode(row), type=messages.MessageParams)


def translate(target: ServerCapabilities = OPENAI, **fields: Any) -> Json:
    """Translate params and give the Chat Completions request as JSON."""
    document: Json = msgspec.to_builtins(
        msgspec.json.decode(msgspec.json.encode(messages_to_chat(params(**fields), model="model", target=target)))
    )
    return document


def translate_turns(*turns: Json, target: ServerCapabilities = OPENAI) -> list[Json]:
    """Translate turns and give the messages of the Chat Completions request."""
    translated_messages: list[Json] = translate(target, messages=list(turns))["messages"]
    return translated_messages


def user(*blocks: Json) -> Json:
    """Write a turn of the user."""
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Json) -> Json:
    """Write a turn of the assistant."""
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **fields: Any) -> Json:
    """Write a text block."""
    return {"type": "text", "text": words} | fields


def tool_use(**fields: Any) -> Json:
    """Write a tool_use block."""
    return {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"query": "x"}} | fields


def tool_result(**fields: Any) -> Json:
    """Write a tool_result block."""
    return {"type": "tool_result", "tool_use_id": "toolu_1"} | fields


def tool(**fields: Any) -> Json:
    """Write a custom tool."""
    return {"name": "search", "input_schema": {"type": "object"}} | fields


def answered(
    message: Json | None = None, *, finish_reason: str | None = "stop", choice: Json | None = None, **top: Any
) -> Json:
    """Translate a Chat Completion and give the Message as JSON."""
    first = {"index": 0, "message": message or {"role": "assistant", "content": "Hi"}, "finish_reason": finish_reason}
    completion = {"id": "chatcmpl-1", "model": "served", "choices": [first | (choice or {})]} | top
    decoded = msgspec.json.decode(msgspec.json.encode(completion), type=chat_completions.ChatCompletion)
    document: Json = msgspec.json.decode(
        msgspec.json.encode(completion_to_message(decoded, model="asked", custom_id="c-1"))
    )
    return document
