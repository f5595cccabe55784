"""Answers keep their meaning in the other dialects, and the official SDKs can parse them.

Shapes of answers: types/chat/chat_completion.py and types/responses/response.py of openai 3.54, types/message.py of
anthropic 2.12.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from batchgate.engine.model.errors import NoUpstreamAnswer, Untranslatable
from batchgate.engine.model.provider_call import RowKind
from tests.unit.dialects.openai_rows import (
    CALL,
    CREATED,
    Json,
    answered,
    completion,
    message,
    output_message,
    response,
    responses,
)

THOUGHT: Json = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
TOOL_USE: Json = {"type": "tool_use", "id": "call_1", "name": "search", "input": {"q": "x"}}


def messages_to_chat(*blocks: Json, **fields: Any) -> Json:
    return answered(message(*blocks, **fields), "messages", "chat_completions")


def first_choice(document: Json) -> Json:
    choice: Json = document["choices"][0]
    return choice


# ---------------------------------------------------------------- Message as Chat Completion


def test_a_message_becomes_a_completion_that_the_sdk_parses() -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "output_tokens_details": {"thinking_tokens": 12},
        "service_tier": "standard",
    }
    document = messages_to_chat(THOUGHT, {"type": "text", "text": "Hi"}, TOOL_USE, stop_reason="tool_use", usage=usage)
    read = ChatCompletion.model_validate(document, strict=True)
    assert (read.id, read.model, read.created, read.service_tier) == ("msg_1", "served", CREATED, "default")
    assert first_choice(document) == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "Hi",
            "refusal": None,
            "reasoning_content": "Hm.",
            "tool_calls": [CALL],
        },
        "finish_reason": "tool_calls",
        "logprobs": None,
    }
    assert document["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 12},
    }


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_newer", "something_newer"),
        (None, "stop"),
    ],
)
def test_the_stop_reason_is_translated_to_a_finish_reason(stop_reason: str | None, finish_reason: str) -> None:
    assert first_choice(messages_to_chat(stop_reason=stop_reason))["finish_reason"] == finish_reason


def test_the_matched_stop_sequence_is_returned_like_vllm_does() -> None:
    choice = first_choice(messages_to_chat(stop_reason="stop_sequence", stop_sequence="END"))
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "END")


@pytest.mark.parametrize(("category", "finish_reason"), [(None, "stop"), ("cyber", "content_filter")])
def test_the_words_of_a_refusal_are_kept_once(category: str | None, finish_reason: str) -> None:
    details = {"type": "refusal", "category": category, "explanation": "No."}
    choice = first_choice(
        messages_to_chat({"type": "text", "text": "No."}, stop_reason="refusal", stop_details=details)
    )
    assert (choice["message"]["content"], choice["message"]["refusal"]) == (None, "No.")
    assert choice["finish_reason"] == finish_reason


def test_texts_are_joined_and_encrypted_thoughts_left_out() -> None:
    blocks = [{"type": "redacted_thinking", "data": "d"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert first_choice(messages_to_chat(*blocks))["message"]["content"] == "ab"


def test_what_tools_of_anthropics_own_did_is_refused_by_its_path() -> None:
    with pytest.raises(
        Untranslatable, match=r"^content\.1: results of Anthropic's built-in tools cannot be translated"
    ):
        messages_to_chat(
            {"type": "text", "text": "a"}, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
        )


# ---------------------------------------------------------------- Chat Completion as Response


def test_a_completion_becomes_a_response_that_the_sdk_parses() -> None:
    assistant_message = {"role": "assistant", "content": "Hi", "reasoning": "Hm.", "tool_calls": [CALL]}
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    document = answered(completion(assistant_message, usage=usage), "chat_completions", "responses")
    read = Response.model_validate(document, strict=True)
    assert (read.id, read.status, read.output_text, read.created_at) == ("chatcmpl-1", "completed", "Hi", 1)
    assert [item["type"] for item in document["output"]] == ["reasoning", "message", "function_call"]
    assert document["output"][0]["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert document["output"][2] == {
        "type": "function_call",
        "call_id": "call_1",
        "name": "search",
        "arguments": '{"q":"x"}',
        "id": "fc_chatcmpl-1_0",
        "status": "completed",
    }
    assert document["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 12,
    }


@pytest.mark.parametrize("to", ["messages", "responses", "converse"])
def test_reasoning_tokens_that_xai_counts_beside_the_completion_are_output(to: RowKind) -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 7,
        "total_tokens": 21,
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    counted = answered(completion(usage=usage), "chat_completions", to)["usage"]
    assert counted.get("output_tokens", counted.get("outputTokens")) == 12


def test_a_response_repeats_its_request() -> None:
    request = responses(
        instructions="Be kind.",
        temperature=0.5,
        metadata={"a": "b"},
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": False}],
        parallel_tool_calls=False,
    )
    document = answered(completion(), "chat_completions", "responses", request)
    assert {name: document[name] for name in request if name not in {"model", "input"}} == {
        name: value for name, value in request.items() if name not in {"model", "input"}
    }
    assert document["model"] == "served"


def test_a_response_has_defaults_for_fields_that_the_request_lacks() -> None:
    document = answered(completion(), "chat_completions", "responses", responses(temperature=None))
    assert (document["tools"], document["tool_choice"], document["parallel_tool_calls"]) == ([], "auto", True)
    assert document["temperature"] is None


@pytest.mark.parametrize(
    ("finish_reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("eos", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_the_reason_to_stop_is_the_status_of_a_response(finish_reason: str, status: str, details: Json | None) -> None:
    document = answered(completion(finish_reason=finish_reason), "chat_completions", "responses")
    assert (document["status"], document["incomplete_details"]) == (status, details)
    assert (document["completed_at"] is None) is (status == "incomplete")


def test_fields_that_a_completion_lacks_are_filled_from_the_request() -> None:
    lean = {
        "choices": [{"message": {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}]}}]
    }
    document = answered(lean, "chat_completions", "responses")
    assert (document["id"], document["model"], document["created_at"]) == ("resp_c-1", "asked", CREATED)
    assert [item["type"] for item in document["output"]] == ["reasoning", "message"]


@pytest.mark.parametrize(
    ("assistant_message", "error"),
    [
        ({"content": [{"type": "video"}]}, "Responses has no equivalent of a part of the type 'video'"),
        ({"tool_calls": [{"id": "c"}]}, "a tool call that is neither a function call nor a custom tool call"),
        ({"tool_calls": [{"id": "c", "custom": {}}]}, "a custom tool call without a name or an input"),
    ],
)
def test_a_completion_that_no_response_can_hold_is_an_error(assistant_message: Json, error: str) -> None:
    with pytest.raises(NoUpstreamAnswer, match=error):
        answered(completion(assistant_message), "chat_completions", "responses")


@pytest.mark.parametrize("arguments", ["{", ""])
def test_arguments_are_for_the_caller_to_judge(arguments: str) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    document = answered(completion({"tool_calls": [call]}), "chat_completions", "responses")
    assert document["output"][0]["arguments"] == arguments


IMAGE_URL = "data:image/webp;base64,UklGRg=="


@pytest.mark.parametrize(
    "message_fields",
    [
        {"content": "Here:", "images": [{"type": "image_url", "image_url": {"url": IMAGE_URL}}]},
        {"content": [{"type": "text", "text": "Here:"}, {"type": "image_url", "image_url": {"url": IMAGE_URL}}]},
        {"content": [{"type": "text", "text": "Here:"}, {"type": "image_url", "image_url": IMAGE_URL}]},
    ],
)
def test_a_generated_image_is_an_item_of_a_response_and_comes_back(message_fields: Json) -> None:
    document = answered(completion(message_fields), "chat_completions", "responses")
    read = Response.model_validate(document, strict=True)
    assert read.output_text == "Here:"
    assert document["output"][1] == {
        "type": "image_generation_call",
        "id": "ig_chatcmpl-1_0",
        "result": "UklGRg==",
        "output_format": "webp",
        "status": "completed",
    }
    back = first_choice(answered(document, "responses", "chat_completions"))["message"]
    assert back["images"] == [{"type": "image_url", "image_url": {"url": IMAGE_URL}}]


def test_an_image_at_a_url_is_markdown_in_the_text_of_a_response() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://images.example/a.png"}}
    document = answered(completion({"content": "a ", "images": [image]}), "chat_completions", "responses")
    assert document["output"][0]["content"][0]["text"] == "a ![image](https://images.example/a.png)"


def test_arguments_that_no_message_can_hold_come_back_as_the_text_that_they_were() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": '{"a":'}}
    there = answered(completion({"tool_calls": [call]}), "chat_completions", "messages")
    back = first_choice(answered(there, "messages", "chat_completions"))
    assert back["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":'


@pytest.mark.parametrize("tool_input", [{"INVALID_JSON": 1}, {"INVALID_JSON": "x", "a": 1}, {"a": "INVALID_JSON"}])
def test_an_input_that_only_looks_like_invalid_arguments_stays(tool_input: Json) -> None:
    back = first_choice(messages_to_chat(TOOL_USE | {"input": tool_input}, stop_reason="tool_use"))
    assert msgspec.json.decode(back["message"]["tool_calls"][0]["function"]["arguments"]) == tool_input


# ---------------------------------------------------------------- Response as Chat Completion


def test_a_response_becomes_a_completion_that_the_sdk_parses() -> None:
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        output_message({"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}),
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "search", "arguments": '{"q":"x"}'},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "c", "input": "i"},
    ]
    document = answered(response(*items), "responses", "chat_completions")
    assert ChatCompletion.model_validate(document, strict=True).id == "resp_1"
    choice = first_choice(document)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
        "reasoning_content": "Hm.",
        "tool_calls": [CALL, {"id": "call_2", "type": "custom", "custom": {"name": "c", "input": "i"}}],
    }


def test_a_response_that_failed_is_an_error() -> None:
    failed = response(status="failed", error={"code": "server_error", "message": "Try again."})
    with pytest.raises(NoUpstreamAnswer, match=r"failed \(server_error: Try again\.\)\.$") as caught:
        answered(failed, "responses", "chat_completions")
    assert caught.value.retry_safe


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (
            {"type": "web_search_call", "id": "ws_1"},
            "output.0: web_search_call items cannot be translated to Chat Completions",
        ),
        ({"type": "message"}, "an item does not match its type"),
        (output_message({"type": "video"}), "a part of the type 'video'"),
    ],
)
def test_an_item_that_no_completion_can_hold_is_an_error(item: Json, error: str) -> None:
    with pytest.raises((Untranslatable, NoUpstreamAnswer), match=error):
        answered(response(item), "responses", "chat_completions")


@pytest.mark.parametrize(("reason", "finish_reason"), [("content_filter", "content_filter"), ("steered", "length")])
def test_an_incomplete_response_has_the_reason_as_finish_reason(reason: str, finish_reason: str) -> None:
    cut = response(status="incomplete", incomplete_details={"reason": reason})
    assert first_choice(answered(cut, "responses", "chat_completions"))["finish_reason"] == finish_reason


# ---------------------------------------------------------------- Message and Response, by way of Chat Completions


def test_a_message_is_a_response_and_a_response_a_message() -> None:
    there = answered(message(TOOL_USE, stop_reason="tool_use"), "messages", "responses")
    assert Response.model_validate(there, strict=True).output[0].type == "function_call"
    back = answered(there, "responses", "messages")
    assert Message.model_validate(back, strict=True).stop_reason == "tool_use"
    assert back["content"] == [TOOL_USE]


def test_an_answer_that_keeps_its_kind_stays_as_it_came_but_in_one_line() -> None:
    assert answered({"any": "thing"}, "embeddings", "embeddings") == {"any": "thing"}
