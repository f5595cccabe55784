"""A Responses request says the same in Chat Completions: an example for each setting, turn and tool.

Field names and values: types of openai 3.54 (types/chat, types/responses) and anthropic 2.12.
"""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry.known_servers import MISTRAL, OLLAMA, OPENAI, SGLANG, VLLM, XAI
from tests.unit.dialects.openai_rows import CALL, USER, Json, responses, translate

SCHEMA: Json = {"type": "object", "properties": {"b": {}, "a": {}}}
PNG = "data:image/png;base64,AA=="


def messages_to_chat(target: ServerCapabilities = OPENAI, **fields: Any) -> Json:
    return translate(responses(**fields), "responses", "chat_completions", target)


def test_the_least_responses_request_is_a_message_of_the_user() -> None:
    assert messages_to_chat() == {"model": "model", "messages": [USER], "store": True}
    assert messages_to_chat(VLLM) == {"model": "model", "messages": [USER]}


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
def test_a_setting_of_responses_is_translated_for_the_server(
    target: ServerCapabilities, fields: Json, added: Json
) -> None:
    assert messages_to_chat(target, **fields) == messages_to_chat(target) | added


@pytest.mark.parametrize(
    ("target", "fields", "refusal"),
    [
        (XAI, {"reasoning": {"effort": "low"}}, "reasoning.effort: xai does not support effort levels"),
        (XAI, {"top_logprobs": 2}, "top_logprobs: xai is not known to return log probabilities; leave it out"),
        (
            VLLM,
            {"include": ["file_search_call.results"]},
            "include.0: file_search_call.results is the output of a built-in tool of OpenAI; leave it out",
        ),
        (
            OLLAMA,
            {"parallel_tool_calls": False},
            "parallel_tool_calls: ollama cannot limit an answer to one tool call; leave it out",
        ),
        (MISTRAL, {"user": "u"}, "user: mistral has no field for the user; leave it out"),
        (VLLM, {"service_tier": "flex"}, "service_tier: vllm has only one service tier; leave it out"),
        (
            OPENAI,
            {"service_tier": "ultrafast"},
            "service_tier: only the Responses API of OpenAI has ultrafast; use auto or default",
        ),
        (VLLM, {"moderation": {"model": "m"}}, "moderation: only OpenAI supports it; leave it out"),
        (
            VLLM,
            {"text": {"verbosity": "low"}},
            "text.verbosity: vllm does not support verbosity; state the wanted length in the instructions",
        ),
        (
            VLLM,
            {"tools": [{"type": "web_search"}]},
            "tools.0: web_search is a built-in tool of OpenAI; declare a function and run it yourself",
        ),
        (
            VLLM,
            {"tools": [{"type": "custom", "name": "c"}]},
            "tools.0: vllm does not support custom tools; declare a function instead",
        ),
        (
            XAI,
            {"tools": [{"type": "function", "name": "f", "strict": True}]},
            "tools.0.strict: xai does not enforce the schema; set it to false",
        ),
        (
            VLLM,
            {"input": [{"type": "computer_call", "id": "c"}]},
            "input.0: computer_call items are specific to OpenAI; leave the item out",
        ),
        (
            OPENAI,
            {"input": [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": "t"}]}]},
            "input.0: openai does not accept the model's earlier reasoning; leave reasoning items out",
        ),
        (
            VLLM,
            {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]},
            "input.0.content: Field required; only OpenAI can look reasoning up by its id",
        ),
        (
            VLLM,
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "a"}]}]},
            "input.0.content.0: such parts are allowed only in assistant messages",
        ),
    ],
)
def test_a_responses_field_that_the_server_does_not_support_is_rejected(
    target: ServerCapabilities, fields: Json, refusal: str
) -> None:
    with pytest.raises(Untranslatable) as caught:
        messages_to_chat(target, **fields)
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
        messages_to_chat(**fields)
    assert str(caught.value) == error


def test_the_items_of_a_turn_become_one_message() -> None:
    document = messages_to_chat(
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


def test_data_urls_are_taken_by_servers_that_do_not_fetch() -> None:
    turn = {"role": "user", "content": [{"type": "input_image", "image_url": PNG, "detail": "low"}]}
    assert messages_to_chat(OLLAMA, input=[turn])["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    ]
