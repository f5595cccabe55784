"""A Chat Completions request says the same in Messages: an example for each setting, turn and tool.

Field names and values: types of openai 3.54 (types/chat, types/responses) and anthropic 2.12.
"""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.chat_via_messages.request_rules import DEFAULT_MAX_TOKENS
from tests.unit.dialects.openai_rows import CALL, FUNCTION, USER, Json, chat, translate

SCHEMA: Json = {"type": "object", "properties": {"b": {}, "a": {}}}
PNG = "data:image/png;base64,AA=="
TOOL: Json = {"name": "search", "input_schema": {"type": "object"}}


def to_messages(**fields: Any) -> Json:
    return translate(chat(**fields), "chat_completions", "messages")


def test_the_least_chat_request_gets_the_limit_that_messages_cannot_be_without() -> None:
    assert to_messages() == {"model": "model", "max_tokens": DEFAULT_MAX_TOKENS, "messages": [USER]}


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5, "max_tokens": 5}, {"max_tokens": 5}),
        ({"temperature": 1}, {"temperature": 1}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"top_k": 5}, {"top_k": 5}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": []}, {}),
        ({"reasoning_effort": "high"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"thinking_token_budget": 2048}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"safety_identifier": "u"}, {"metadata": {"user_id": "u"}}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        ({"tools": [FUNCTION]}, {"tools": [TOOL]}),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
            {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}, "strict": True}]},
        ),
        ({"tools": [FUNCTION], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": {"type": "auto"}}),
        ({"tools": [FUNCTION], "tool_choice": "required"}, {"tools": [TOOL], "tool_choice": {"type": "any"}}),
        ({"tools": [FUNCTION], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": {"type": "none"}}),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "search"}}},
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "search"}},
        ),
        (
            {"tools": [FUNCTION], "parallel_tool_calls": False},
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        ({"parallel_tool_calls": False}, {}),
    ],
)
def test_a_setting_is_translated_to_messages(fields: Json, added: Json) -> None:
    assert to_messages(**fields) == to_messages() | added


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"max_tokens": 0}, "max_tokens: 0 only warms the cache and returns no answer; it should be at least 1"),
        (
            {"max_tokens": 1, "max_completion_tokens": 2},
            "max_tokens: max_completion_tokens has a different value; leave one out",
        ),
        ({"temperature": 1.5}, "temperature: Messages allows at most 1; it should be between 0 and 1"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort: the lowest effort of Messages is low"),
        (
            {"reasoning_effort": "none", "thinking_token_budget": 9},
            "thinking_token_budget: it contradicts reasoning_effort none; leave one out",
        ),
        ({"user": "a", "safety_identifier": "b"}, "user: safety_identifier has a different value; leave one out"),
        ({"service_tier": "flex"}, "service_tier: flex is a tier that only OpenAI has; use auto or default"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema: Field required",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "Once"}]},
            "messages.1: Messages would continue it; end with a user message, or set continue_final_message",
        ),
        (
            {"continue_final_message": True},
            "continue_final_message: there is nothing to continue, as the last message is not the assistant's",
        ),
        (
            {"add_generation_prompt": False},
            "add_generation_prompt: it should be the opposite of continue_final_message",
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "x"}]},
            "messages.0.tool_call_id: no earlier assistant message has a tool call with this id",
        ),
    ],
)
def test_a_field_that_messages_does_not_support_is_rejected(fields: Json, refusal: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_messages(**fields)
    assert str(caught.value) == refusal


def test_an_unknown_field_of_a_chat_request_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match=r"^logit_bais: Extra inputs are not permitted$"):
        to_messages(logit_bais={})


def test_the_first_instructions_are_the_system_prompt_and_later_ones_turns() -> None:
    document = to_messages(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": [{"type": "text", "text": "Be short."}]},
            USER,
            {"role": "system", "content": "Be quick."},
            USER,
        ]
    )
    assert document["system"] == [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be short."}]
    assert document["messages"] == [USER, {"role": "system", "content": "Be quick."}, USER]


def test_results_of_tools_are_gathered_in_the_next_turn_of_the_user() -> None:
    second = CALL | {"id": "call_2", "function": {"name": "search", "arguments": " "}}
    document = to_messages(
        messages=[
            USER,
            {"role": "assistant", "content": "Looking.", "tool_calls": [CALL, second]},
            {"role": "tool", "tool_call_id": "call_1", "content": "one"},
            {"role": "tool", "tool_call_id": "call_2", "content": ""},
            {"role": "user", "content": "And?"},
        ]
    )
    assert document["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "call_1", "name": "search", "input": {"q": "x"}},
                {"type": "tool_use", "id": "call_2", "name": "search", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "call_2"},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


def test_a_message_to_be_continued_is_the_last_turn() -> None:
    begun = {"role": "assistant", "content": "Once"}
    document = to_messages(messages=[USER, begun], continue_final_message=True, add_generation_prompt=False)
    assert document["messages"] == [USER, begun]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://images.example/a.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://images.example/a.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "DATA:image/PNG;name=a;BASE64,AA=="}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
                "title": "a.pdf",
            },
        ),
    ],
)
def test_a_part_of_a_turn_is_a_block(part: Json, block: Json) -> None:
    document = to_messages(messages=[{"role": "user", "content": [part]}])
    assert document["messages"][0]["content"] == [block]


@pytest.mark.parametrize(
    ("part", "refusal"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}},
            "image_url.url: the image should be one of image/jpeg, image/png, image/gif, image/webp",
        ),
        (
            {"type": "image_url", "image_url": {"url": "ftp://a"}},
            "image_url.url: should be an http URL or data:<type>;base64,<bytes>",
        ),
        ({"type": "file", "file": {}}, "file.file_data: Field required"),
        (
            {"type": "file", "file": {"file_data": "data:text/csv;base64,AA=="}},
            "file.file_data: the file should be application/pdf; send other documents as text parts",
        ),
    ],
)
def test_a_part_that_messages_cannot_hold_is_refused_by_its_path(part: Json, refusal: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_messages(messages=[{"role": "user", "content": [part]}])
    assert str(caught.value) == f"messages.0.content.0.{refusal}"
