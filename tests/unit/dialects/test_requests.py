"""Requests of OpenAI's dialect say the same in the others: an example for each setting, turn and tool.

Field names and values: types of openai 3.54 (types/chat, types/responses) and anthropic 2.12.
"""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.engine.errors import RequestError, Untranslatable
from batchgate.engine.upstream import RowKind
from batchgate.providers.dialects.chat_as_messages.request_rules import DEFAULT_MAX_TOKENS
from batchgate.providers.dialects.target import Target
from batchgate.providers.targets import MISTRAL, OLLAMA, OPENAI, SGLANG, VLLM, XAI
from tests.unit.dialects.openai_rows import CALL, FUNCTION, USER, Json, chat, responses, said

SCHEMA: Json = {"type": "object", "properties": {"b": {}, "a": {}}}
PNG = "data:image/png;base64,AA=="
TOOL: Json = {"name": "search", "input_schema": {"type": "object"}}


def to_messages(**fields: Any) -> Json:
    return said(chat(**fields), "chat_completions", "messages")


def to_responses(**fields: Any) -> Json:
    return said(chat(**fields), "chat_completions", "responses")


def to_chat(target: Target = OPENAI, **fields: Any) -> Json:
    return said(responses(**fields), "responses", "chat_completions", target)


# ---------------------------------------------------------------- Chat Completions as Messages


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
def test_a_setting_is_said_in_the_words_of_messages(fields: Json, added: Json) -> None:
    assert to_messages(**fields) == to_messages() | added


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"max_tokens": 0}, "max_tokens: 0 only fills a cache, and a batch has to answer; it should be at least 1"),
        (
            {"max_tokens": 1, "max_completion_tokens": 2},
            "max_tokens: max_completion_tokens says another number; leave one out",
        ),
        ({"temperature": 1.5}, "temperature: that of Messages ends at 1; it should be between 0 and 1"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort: the least effort of Messages is low"),
        (
            {"reasoning_effort": "none", "thinking_token_budget": 9},
            "thinking_token_budget: reasoning_effort none leaves nothing to spend it on",
        ),
        ({"user": "a", "safety_identifier": "b"}, "user: safety_identifier names another; leave one out"),
        ({"service_tier": "flex"}, "service_tier: flex is a tier of OpenAI's; use auto or default"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema: Field required",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "Once"}]},
            "messages.1: Messages would continue it; end with the user, or set continue_final_message",
        ),
        (
            {"continue_final_message": True},
            "continue_final_message: there is no last message of the assistant to continue",
        ),
        (
            {"add_generation_prompt": False},
            "add_generation_prompt: it should be the opposite of continue_final_message",
        ),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0.content: should have at least one part"),
        (
            {"messages": [{"role": "assistant", "content": None}, USER]},
            "messages.0.content: should be a text where the message calls no tools",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": "["}}]},
                    USER,
                ]
            },
            "messages.0.tool_calls.0.function.arguments: should be a JSON object as text",
        ),
    ],
)
def test_what_messages_cannot_be_told_is_refused(fields: Json, refusal: str) -> None:
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
            "file.file_data: the file should be application/pdf; send other texts as text parts",
        ),
    ],
)
def test_a_part_that_messages_cannot_hold_is_refused_by_its_path(part: Json, refusal: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_messages(messages=[{"role": "user", "content": [part]}])
    assert str(caught.value) == f"messages.0.content.0.{refusal}"


# ---------------------------------------------------------------- Responses as Chat Completions


def test_the_least_responses_request_is_a_message_of_the_user() -> None:
    assert to_chat() == {"model": "model", "messages": [USER], "store": True}
    assert to_chat(VLLM) == {"model": "model", "messages": [USER]}


@pytest.mark.parametrize(
    ("target", "fields", "added"),
    [
        (OPENAI, {"store": True}, {"store": True}),
        (OPENAI, {"max_output_tokens": 5}, {"max_completion_tokens": 5}),
        (VLLM, {"max_output_tokens": 5}, {"max_tokens": 5}),
        (VLLM, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": 0.5}),
        (VLLM, {"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        (OPENAI, {"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        (VLLM, {"text": {"verbosity": "medium"}}, {}),
        (VLLM, {"text": {"format": {"type": "text"}}}, {"response_format": {"type": "text"}}),
        (VLLM, {"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            VLLM,
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
                }
            },
        ),
        (
            VLLM,
            {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
            {"logprobs": True, "top_logprobs": 2},
        ),
        (VLLM, {"include": ["reasoning.encrypted_content"]}, {}),
        (VLLM, {"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        (OLLAMA, {"parallel_tool_calls": True}, {}),
        (OLLAMA, {"tool_choice": "auto"}, {}),
        (OPENAI, {"user": "u"}, {"user": "u"}),
        (VLLM, {"safety_identifier": "u"}, {"user": "u"}),
        (OPENAI, {"service_tier": "flex"}, {"service_tier": "flex"}),
        (VLLM, {"service_tier": "default"}, {}),
        (OPENAI, {"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        (VLLM, {"metadata": {"a": "b"}, "prompt_cache_key": "k"}, {}),
        (OPENAI, {"prompt_cache_options": {"mode": "explicit"}}, {"prompt_cache_options": {"mode": "explicit"}}),
        (OPENAI, {"moderation": {"model": "m"}}, {"moderation": {"model": "m"}}),
        (
            SGLANG,
            {"tools": [{"type": "function", "name": "f", "parameters": None, "strict": True}]},
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
        ),
        (
            OPENAI,
            {
                "tools": [
                    {"type": "custom", "name": "c", "format": {"type": "grammar", "definition": "d", "syntax": "lark"}}
                ]
            },
            {
                "tools": [
                    {
                        "type": "custom",
                        "custom": {
                            "name": "c",
                            "format": {"type": "grammar", "grammar": {"definition": "d", "syntax": "lark"}},
                        },
                    }
                ]
            },
        ),
        (
            VLLM,
            {"tool_choice": {"type": "function", "name": "f"}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            OPENAI,
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}},
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
                }
            },
        ),
    ],
)
def test_a_setting_of_responses_is_said_in_the_words_of_the_target(target: Target, fields: Json, added: Json) -> None:
    assert to_chat(target, **fields) == to_chat(target) | added


@pytest.mark.parametrize(
    ("target", "fields", "refusal"),
    [
        (XAI, {"reasoning": {"effort": "low"}}, "reasoning.effort: xai has no levels of effort"),
        (XAI, {"top_logprobs": 2}, "top_logprobs: xai is not known to tell probabilities; leave it out"),
        (
            VLLM,
            {"include": ["file_search_call.results"]},
            "include.0: file_search_call.results comes from a tool of OpenAI's own; leave it out",
        ),
        (
            OLLAMA,
            {"parallel_tool_calls": False},
            "parallel_tool_calls: ollama cannot be held to one call; leave it out",
        ),
        (MISTRAL, {"user": "u"}, "user: mistral is not told who the user is; leave it out"),
        (VLLM, {"service_tier": "flex"}, "service_tier: vllm has one tier only; leave it out"),
        (
            OPENAI,
            {"service_tier": "ultrafast"},
            "service_tier: only OpenAI's Responses has ultrafast; use auto or default",
        ),
        (VLLM, {"moderation": {"model": "m"}}, "moderation: only OpenAI moderates so; leave it out"),
        (
            VLLM,
            {"text": {"verbosity": "low"}},
            "text.verbosity: vllm does not have it; say in the instructions how long it is",
        ),
        (
            VLLM,
            {"tools": [{"type": "web_search"}]},
            "tools.0: web_search is a tool of OpenAI's own; declare a function and run it yourself",
        ),
        (
            VLLM,
            {"tools": [{"type": "custom", "name": "c"}]},
            "tools.0: vllm has no tools of free text; declare a function instead",
        ),
        (
            XAI,
            {"tools": [{"type": "function", "name": "f", "strict": True}]},
            "tools.0.strict: xai does not hold the model to the schema; set it to false",
        ),
        (
            VLLM,
            {"input": [{"type": "computer_call", "id": "c"}]},
            "input.0: computer_call items belong to features of OpenAI's own; leave the item out",
        ),
        (
            OPENAI,
            {"input": [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": "t"}]}]},
            "input.0: openai cannot be told what the model thought; leave reasoning items out",
        ),
        (
            VLLM,
            {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]},
            "input.0.content: should be there, as nobody else has the thought that this names",
        ),
        (
            VLLM,
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "a"}]}]},
            "input.0.content.0: such parts belong to turns of the assistant",
        ),
    ],
)
def test_what_a_target_cannot_be_told_of_responses_is_refused(target: Target, fields: Json, refusal: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_chat(target, **fields)
    assert str(caught.value) == refusal


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"input": [{"role": "user"}]}, "input.0.content: Field required"),
        ({"input": [{"role": "user", "content": "a", "mood": "b"}]}, "input.0.mood: Extra inputs are not permitted"),
        ({"tools": [{"name": "f"}]}, "tools.0.type: Field required"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name: Field required"),
    ],
)
def test_a_wrong_item_is_refused_by_its_path(fields: Json, error: str) -> None:
    with pytest.raises(RequestError) as caught:
        to_chat(**fields)
    assert str(caught.value) == error


def test_the_items_of_a_turn_become_one_message() -> None:
    document = to_chat(
        VLLM,
        instructions="Be kind.",
        input=[
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Looking.", "annotations": []}],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "search", "arguments": '{"q":"x"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "one"}]},
            USER,
        ],
    )
    assert document["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "system", "content": "Be short."},
        USER,
        {"role": "assistant", "content": "Looking.", "reasoning": "Hm.", "tool_calls": [CALL]},
        {"role": "tool", "content": "one", "tool_call_id": "call_1"},
        USER,
    ]


# ---------------------------------------------------------------- Chat Completions as Responses


def test_a_chat_request_says_what_responses_would_assume_otherwise() -> None:
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


# ---------------------------------------------------------------- Messages and Responses, by way of Chat Completions


def test_a_responses_request_becomes_a_messages_request() -> None:
    row = responses(
        instructions="Be kind.",
        max_output_tokens=9,
        reasoning={"effort": "high"},
        tools=[{"type": "function", "name": "search", "parameters": {"type": "object"}, "strict": False}],
        store=True,
        metadata={"a": "b"},
    )
    assert said(row, "responses", "messages") == {
        "model": "model",
        "max_tokens": 9,
        "system": "Be kind.",
        "messages": [USER],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "tools": [TOOL],
    }


def test_what_cannot_be_said_on_the_way_is_named_as_chat_completions_has_it() -> None:
    with pytest.raises(Untranslatable) as caught:
        said({"model": "m", "max_tokens": 1, "messages": [USER], "stop_sequences": ["a"]}, "messages", "responses")
    assert str(caught.value) == (
        "stop: Responses does not have it; leave it out (the field as Chat Completions has it)"
    )


@pytest.mark.parametrize(
    ("kind", "to", "reason"),
    [
        ("embeddings", "messages", "requests for embeddings have no form in Messages"),
        ("completions", "chat_completions", "requests for completions have no form in Chat Completions"),
        ("messages", "embeddings", "requests for embeddings have no form in Messages"),
    ],
)
def test_what_is_no_conversation_has_no_form_elsewhere(kind: RowKind, to: RowKind, reason: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        said({"model": "m"}, kind, to)
    assert str(caught.value) == f"url: {reason}; choose a provider that serves them"


@pytest.mark.parametrize("kind", ["messages", "chat_completions", "responses", "embeddings", "completions"])
def test_a_request_that_keeps_its_kind_passes_as_it_is(kind: RowKind) -> None:
    assert said({"any": "thing"}, kind, kind) == {"any": "thing"}


def test_data_urls_are_taken_by_servers_that_do_not_fetch() -> None:
    turn = {"role": "user", "content": [{"type": "input_image", "image_url": PNG, "detail": "low"}]}
    assert to_chat(OLLAMA, input=[turn])["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    ]
