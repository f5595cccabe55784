"""Cohere's rows: what the validation of a dataset keeps of them, and the rows of results (native-lanes 2.12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.simulator.batches.body_rows import RowForm, no_fault, read_rows, validated
from batchgate.providers.simulator.batches.wire import RowCall, Validation

ENDPOINTS: Final = {"batch-chat-v2-input": "/v2/chat", "batch-embed-v2-input": "/v2/embed"}
"""The endpoint that answers the rows of each type of dataset."""
_CHAT_FIELDS: Final = frozenset(
    {"messages", "tools", "temperature", "p", "k", "seed", "frequency_penalty", "presence_penalty", "max_tokens"}
    | {"max_input_tokens", "logprobs", "reasoning", "thinking_budget", "return_prompt"}
)
_EMBED_FIELDS: Final = frozenset(
    {"texts", "images", "inputs", "input_type", "max_tokens", "embedding_types", "truncate"}
)
_PARTS: Final[Mapping[str, Callable[[dict[str, Any]], bool]]] = {
    "text": lambda part: isinstance(part.get("text"), str),
    "thinking": lambda part: isinstance(part.get("thinking"), str),
    "image_url": lambda part: isinstance(part.get("image_url"), str),
}
"""The parts of messages that a dataset takes, and whether a part has its form."""


def kept_rows(path: Path, kind: str, keep_fields: frozenset[str]) -> Iterator[tuple[int, bytes | None]]:
    """Yield the number of each row from 1, with what a dataset keeps of it; None for one that is malformed.

    A field that is not in the schema is dropped in silence, and so is an id that is not to be kept.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
                body = msgspec.convert(row.get("body"), dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError):
                yield number, None
                continue
            is_good = _is_chat(body) if kind == "batch-chat-v2-input" else _is_embed(body)
            fields = _CHAT_FIELDS if kind == "batch-chat-v2-input" else _EMBED_FIELDS
            kept: dict[str, object] = {"body": {name: value for name, value in body.items() if name in fields}}
            if "custom_id" in keep_fields:
                kept["custom_id"] = row.get("custom_id")
            yield number, msgspec.json.encode(kept) + b"\n" if is_good else None


def _is_chat(body: dict[str, Any]) -> bool:
    messages = body.get("messages")
    tools = body.get("tools") or []
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(_has_parts(message) for message in messages)
        and all(isinstance(tool["function"].get("parameters"), str) for tool in tools)
    )


def _has_parts(message: dict[str, Any]) -> bool:
    content = message.get("content")
    if content is None:
        return message.get("role") == "assistant"
    is_list = isinstance(content, list)
    return is_list and all(part.get("type") in _PARTS and _PARTS[part["type"]](part) for part in content)


def _is_embed(body: dict[str, Any]) -> bool:
    return "output_dimension" not in body and any(body.get(name) for name in ("texts", "images", "inputs"))


def validate_rows(path: Path, model: str) -> Validation:
    """Report the rows of a dataset, which was validated before."""
    return validated([*read_rows(path, no_fault)], faults_of_rows=True, model=model)


def _answered(call: RowCall, response: UpstreamResponse) -> bytes:
    return b'{"custom_id":%s,"body":%s,"error":""}\n' % (_id(call), response.body)


def _refused(call: RowCall, response: UpstreamResponse) -> bytes:
    message = msgspec.json.encode(msgspec.json.decode(response.body)["message"])
    return b'{"custom_id":%s,"body":null,"error":%s}\n' % (_id(call), message)


def _id(call: RowCall) -> bytes:
    return msgspec.json.encode(call.custom_id or "")


COHERE_FORM: Final = RowForm(answered=_answered, refused=_refused, unfinished=lambda *_: b"")
"""Rows that did not run are in no file."""
