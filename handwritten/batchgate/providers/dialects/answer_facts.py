"""Reads from an answer of any dialect which model gave it, and why it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from batchgate.engine.model.provider_call import RowKind

MODEL_FIELDS: Final = ("model", "modelVersion")
REASON_FIELDS: Final = ("finish_reason", "stop_reason", "stopReason", "finishReason")
CHOICE_FIELDS: Final = ("choices", "candidates")


def stated_model(fields: Mapping[str, Any]) -> str | None:
    """Return the model that an answer names."""
    return next((fields[name] for name in MODEL_FIELDS if isinstance(fields.get(name), str)), None)


def stated_reasons(kind: RowKind, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why an answer stopped; a response of OpenAI states that as its status."""
    if kind == "responses":
        status = fields.get("status")
        return (status,) if isinstance(status, str) else ()
    return tuple(_reasons(fields))


def answer_fields(answer: bytes) -> Mapping[str, Any]:
    """Return the fields of an answer; none if it is no JSON object."""
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _reasons(fields: Mapping[str, Any]) -> Iterator[str]:
    choices = next((fields[name] for name in CHOICE_FIELDS if isinstance(fields.get(name), Sequence)), [fields])
    for choice in choices:
        if isinstance(choice, Mapping):
            yield from (choice[name] for name in REASON_FIELDS if isinstance(choice.get(name), str))
