"""Requests on the other ways between dialects: Chat Completions as Responses, and what goes by way of it.

Field names and values: types of openai 3.54 (types/chat, types/responses) and anthropic 2.12.
"""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.translation import KIND_NAMES
from tests.unit.dialects.openai_rows import CALL, FUNCTION, USER, Json, chat, responses, translate

TOOL: Json = {"name": "search", "input_schema": {"type": "object"}}


def to_responses(**fields: Any) -> Json:
    return translate(chat(**fields), "chat_completions", "responses")


def test_a_chat_request_sets_fields_whose_defaults_differ_in_responses() -> None:
    assert to_responses() == {"model": "model", "input": [USER], "store": False}
    document = to_responses(tools=[FUNCTION])
    assert document["tools"] == [
        {"type": "function", "name": "search", "parameters": {"type": "object"}, "strict": False}
    ]


def test_outputs_of_tools_of_free_text_have_a_type_of_their_own() -> None:
    custom = {"id": "call_2", "type": "custom", "custom": {"name": "c", "input": "i"}}
    document = to_responses(
        messages=[
            {"role": "assistant", "content": None, "tool_calls": [CALL, custom]},
            {"role": "tool", "tool_call_id": "call_1", "content": "one"},
            {"role": "tool", "tool_call_id": "call_2", "content": "two"},
        ]
    )
    assert [item["type"] for item in document["input"]] == [
        "function_call",
        "custom_tool_call",
        "function_call_output",
        "custom_tool_call_output",
    ]


def test_a_responses_request_becomes_a_messages_request() -> None:
    row = responses(
        instructions="Be kind.",
        max_output_tokens=9,
        reasoning={"effort": "high"},
        tools=[{"type": "function", "name": "search", "parameters": {"type": "object"}, "strict": False}],
        store=True,
        metadata={"a": "b"},
    )
    assert translate(row, "responses", "messages") == {
        "model": "model",
        "max_tokens": 9,
        "system": "Be kind.",
        "messages": [USER],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "tools": [TOOL],
    }


def test_a_field_rejected_by_the_second_step_has_its_chat_completions_name() -> None:
    with pytest.raises(Untranslatable) as caught:
        translate({"model": "m", "max_tokens": 1, "messages": [USER], "stop_sequences": ["a"]}, "messages", "responses")
    assert str(caught.value) == (
        "stop: Responses does not support it; leave it out (the name of the field in Chat Completions)"
    )


@pytest.mark.parametrize(
    ("kind", "to", "reason"),
    [
        ("embeddings", "messages", "cannot translate embeddings to Messages"),
        ("completions", "chat_completions", "cannot translate completions to Chat Completions"),
        ("messages", "embeddings", "cannot translate Messages to embeddings"),
    ],
)
def test_embeddings_and_completions_are_never_translated(kind: RowKind, to: RowKind, reason: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate({"model": "m"}, kind, to)
    assert str(caught.value) == f"url: {reason}; choose a provider that supports {KIND_NAMES[kind]}"


@pytest.mark.parametrize("kind", ["messages", "chat_completions", "responses", "embeddings", "completions"])
def test_a_request_that_keeps_its_kind_passes_as_it_is(kind: RowKind) -> None:
    assert translate({"any": "thing"}, kind, kind) == {"any": "thing"}
