"""How requests stand in Cohere's datasets: only the fields of a dataset's schema, some in another form.

Cohere drops any other field of a row in silence, so a request that has one does not run in a job. The forms are those
that github.com/crmne/ruby_llm found by live runs: texts in parts, images as plain URLs, parameters of tools as a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import RowKind

_NOT_TAKEN: Final = "Cohere's jobs drop it"
_COMPATIBLE_FIELDS: Final[Mapping[str, str]] = {
    "messages": "messages",
    "tools": "tools",
    "temperature": "temperature",
    "top_p": "p",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "reasoning",
}
"""The names in a dataset of the fields of the compatible API."""
_CHAT_FIELDS: Final = frozenset(
    {"messages", "tools", "temperature", "p", "k", "seed", "frequency_penalty", "presence_penalty", "max_tokens"}
    | {"logprobs", "thinking"}
)
_EMBED_FIELDS: Final = frozenset(
    {"texts", "images", "inputs", "input_type", "max_tokens", "embedding_types", "truncate"}
)
_FIELDS: Final[Mapping[RowKind, Mapping[str, str]]] = {
    "chat_completions": _COMPATIBLE_FIELDS,
    "cohere_chat": {name: name for name in _CHAT_FIELDS},
    "cohere_embed": {name: name for name in _EMBED_FIELDS},
}
"""The fields that a request of each kind may have, with their names in a dataset."""
_DEFAULTS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "stream": (b"false",),
    "n": (b"1",),
    "logprobs": (b"false",),
    "tool_choice": (b'"auto"',),
    "parallel_tool_calls": (b"true",),
    "response_format": (b'{"type":"text"}',),
}
"""Values that mean the same as leaving the field out."""
_MESSAGE_FIELDS: Final = frozenset({"role", "content", "tool_calls", "tool_call_id"})
_DECODE_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_DECODE_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Any]])
_DECODE_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def dataset_body(kind: RowKind, body: bytes) -> dict[str, object]:
    """Return the body of a live call as it stands in a dataset, without its model, which the job has.

    Raises `Untranslatable` with the path of what a job does not take, and one of `DECODING_ERRORS`.
    """
    written: dict[str, object] = {}
    for name, value in _DECODE_FIELDS.decode(body).items():
        if name == "model" or bytes(value) == b"null" or bytes(value) in _DEFAULTS.get(name, ()):
            continue
        target = _FIELDS[kind].get(name)
        if target is None or target in written:
            raise Untranslatable(name, _NOT_TAKEN)
        written |= _written(name, target, value)
    return written


def _written(name: str, target: str, value: Raw) -> dict[str, object]:
    """Return a field, or two, in the form of a dataset."""
    match name:
        case "messages":
            messages = _DECODE_OBJECTS.decode(value)
            return {target: [_message(message, f"messages.{index}") for index, message in enumerate(messages)]}
        case "tools":
            tools = _DECODE_OBJECTS.decode(value)
            return {target: [_tool(tool, f"tools.{index}") for index, tool in enumerate(tools)]}
        case "reasoning_effort":
            return {target: bytes(value) != b'"none"'}
        case "thinking":
            return _thinking(_DECODE_OBJECT.decode(value))
        case _:
            return {target: value}


def _message(message: Mapping[str, Any], path: str) -> dict[str, object]:
    for name, value in message.items():
        if name not in _MESSAGE_FIELDS and value is not None:
            raise Untranslatable(f"{path}.{name}", _NOT_TAKEN)
    written: dict[str, object] = {name: value for name, value in message.items() if value is not None}
    if message.get("role") == "developer":
        written["role"] = "system"
    content = message.get("content")
    if isinstance(content, str):
        written["content"] = [{"type": "text", "text": content}]
    elif content is not None:
        parts = msgspec.convert(content, list[dict[str, Any]])
        written["content"] = [_part(part, f"{path}.content.{index}") for index, part in enumerate(parts)]
    return written


def _part(part: Mapping[str, Any], path: str) -> Mapping[str, object]:
    match part:
        case {"type": "text", "text": str(), **more} | {"type": "thinking", "thinking": str(), **more} if not more:
            return part
        case {"type": "image_url", "image_url": str(), **more} if not more:
            return part
        case {"type": "image_url", "image_url": {"url": str() as url, **more}} if more in ({}, {"detail": "auto"}):
            return {"type": "image_url", "image_url": url}
        case _:
            raise Untranslatable(path, "Cohere's jobs take texts, thoughts and images by their URLs alone")


def _tool(tool: Mapping[str, Any], path: str) -> dict[str, object]:
    match tool:
        case {"type": "function", "function": {"name": str(), **fields}} if fields.keys() <= {
            "description",
            "parameters",
        }:
            function = dict(tool["function"])
        case _:
            raise Untranslatable(path, "Cohere's jobs take functions with a description and parameters alone")
    if not isinstance(parameters := function.get("parameters", {}), str):
        function["parameters"] = msgspec.json.encode(parameters).decode()
    return {"type": "function", "function": function}


def _thinking(thinking: Mapping[str, Any]) -> dict[str, object]:
    """Return the two fields that a dataset has for thinking."""
    budget = thinking.get("token_budget")
    is_enabled = thinking.get("type") != "disabled"
    return {"reasoning": is_enabled} | ({} if budget is None else {"thinking_budget": budget})
