"""Rows of OpenAI's dialect for the tests: short JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.server_capabilities import ALL_CHAT_COMPLETIONS, ServerCapabilities
from batchgate.providers.dialects.translation import AnswerContext, translate_answer, translate_request

Json = dict[str, Any]

USER: Json = {"role": "user", "content": "Hello"}
FUNCTION: Json = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"q":"x"}'}}
CREATED = 1_700_000_000


def chat(**fields: Any) -> Json:
    """Write a Chat Completions request; what is not given is the least that it needs."""
    return {"model": "prefix/model", "messages": [USER]} | fields


def responses(**fields: Any) -> Json:
    """Write a Responses request; what is not given is the least that it needs."""
    return {"model": "prefix/model", "input": "Hello"} | fields


def converse(**fields: Any) -> Json:
    """Write a Converse request; what is not given is the least that it needs."""
    return {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]} | fields


def generate(**fields: Any) -> Json:
    """Write a request of generateContent; what is not given is the least that it needs."""
    return {"model": "prefix/model", "contents": [{"role": "user", "parts": [{"text": "Hello"}]}]} | fields


def gemini_answer(*parts: Json, **candidate: Any) -> Json:
    """Write an answer of generateContent."""
    said = [*parts] or [{"text": "Hi"}]
    return {
        "candidates": [{"content": {"role": "model", "parts": said}, "finishReason": "STOP"} | candidate],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
        "modelVersion": "served",
        "responseId": "resp-1",
    }


def translate(
    row: Json,
    kind: RowKind,
    to: RowKind,
    target: ServerCapabilities = ALL_CHAT_COMPLETIONS,
    *,
    model: str = "model",
) -> Json:
    """Translate a request."""
    body = translate_request(msgspec.json.encode(row), kind=kind, to=to, model=model, target=target)
    document: Json = msgspec.json.decode(body)
    return document


def to_gemini(row: Json, model: str = "gemini-3-pro", kind: RowKind = "chat_completions") -> Json:
    """Translate a request to generateContent for a model."""
    body = translate_request(msgspec.json.encode(row), kind=kind, to="generate_content", model=model)
    document: Json = msgspec.json.decode(body)
    return document


def answered(answer: Json, kind: RowKind, to: RowKind, request: Json | None = None) -> Json:
    """Translate an answer."""
    context = AnswerContext(
        model="asked",
        custom_id="c-1",
        created=CREATED,
        request=None if request is None else msgspec.json.encode(request),
    )
    body = translate_answer(msgspec.json.encode(answer), kind=kind, to=to, context=context)
    assert b"\n" not in body
    document: Json = msgspec.json.decode(body)
    return document


def completion(message: Json | None = None, *, finish_reason: str = "stop", **fields: Any) -> Json:
    """Write a Chat Completions answer."""
    assistant_message = message or {"role": "assistant", "content": "Hi", "refusal": None}
    choice = {"index": 0, "message": assistant_message, "finish_reason": finish_reason, "logprobs": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [choice],
    } | fields


def response(*output: Json, **fields: Any) -> Json:
    """Write a Responses answer."""
    items = list(output) or [output_message({"type": "output_text", "text": "Hi", "annotations": []})]
    top = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "served"}
    return top | {"output": items} | fields


def output_message(*parts: Json) -> Json:
    """Write a message of an output."""
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(parts)}


def message(*blocks: Json, **fields: Any) -> Json:
    """Write a Message."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "served",
        "content": list(blocks) or [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    } | fields
