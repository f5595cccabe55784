"""A Chat Completion becomes a Message, and nothing that was paid for is lost without a word.

Shapes of answers: types/chat/chat_completion.py of openai 3.54 and, where a server is named, that server's own source.
"""

from __future__ import annotations

from typing import Any

import anthropic.types
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer
from tests.unit.dialects.rows import Json, answered


def _call(arguments: object = "{}", **fields: Any) -> Json:
    return {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": arguments}} | fields


def _calling(*calls: Json) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def test_a_text_answer_becomes_a_message_that_the_sdk_parses() -> None:
    message = answered(
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 12},
        },
        service_tier="default",
    )
    read = anthropic.types.Message.model_validate(message)
    assert read.model_dump(include={"id", "model", "role", "type", "stop_reason", "stop_sequence"}) == {
        "id": "chatcmpl-1",
        "model": "served",
        "role": "assistant",
        "type": "message",
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    assert message["content"] == [{"type": "text", "text": "Hi", "citations": None}]
    assert message["usage"] == {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "cache_creation": None,
        "output_tokens_details": {"thinking_tokens": 12},
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": None,
        "speed": None,
    }


def test_every_key_of_a_message_is_there_with_null_where_nothing_is_known() -> None:
    # facts/batch-apis.md 1.6 lists the keys; some SDKs want required ones even when they are null.
    assert answered().keys() == {
        "id",
        "type",
        "role",
        "model",
        "content",
        "stop_reason",
        "stop_sequence",
        "stop_details",
        "container",
        "diagnostics",
        "usage",
    }


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        (None, "end_turn"),
        ("eos_token", "end_turn"),
    ],
)
def test_the_finish_reason_is_translated_to_a_stop_reason(finish_reason: str | None, stop_reason: str) -> None:
    assert answered(finish_reason=finish_reason)["stop_reason"] == stop_reason


@pytest.mark.parametrize("finish_reason", ["stop", "tool_calls", None])
def test_an_answer_with_tool_calls_has_the_stop_reason_tool_use_for_any_finish_reason(
    finish_reason: str | None,
) -> None:
    assert answered(_calling(_call()), finish_reason=finish_reason)["stop_reason"] == "tool_use"


def test_the_stop_sequence_is_translated_if_the_server_returns_it() -> None:
    # vLLM: choice.stop_reason is the text or the token id that ended the answer.
    by_text = answered(choice={"stop_reason": "END"})
    assert (by_text["stop_reason"], by_text["stop_sequence"]) == ("stop_sequence", "END")
    by_token = answered(choice={"stop_reason": 128009})
    assert (by_token["stop_reason"], by_token["stop_sequence"]) == ("end_turn", None)


def test_a_refusal_keeps_the_models_words() -> None:
    message = answered({"role": "assistant", "content": None, "refusal": "I cannot help with that."})
    assert message["stop_reason"] == "refusal"
    assert message["content"] == [{"type": "text", "text": "I cannot help with that.", "citations": None}]
    assert message["stop_details"] == {"type": "refusal", "category": None, "explanation": "I cannot help with that."}


def test_calls_become_tool_use_blocks_after_the_text() -> None:
    assistant_message = {
        "role": "assistant",
        "content": "Looking.",
        "tool_calls": [_call('{"q": 1}'), _call(id="call_2")],
    }
    assert answered(assistant_message)["content"] == [
        {"type": "text", "text": "Looking.", "citations": None},
        {"type": "tool_use", "id": "call_1", "name": "search", "input": {"q": 1}},
        {"type": "tool_use", "id": "call_2", "name": "search", "input": {}},
    ]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("{}", {}),
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ('{\n  "a": "x\\ny"\n}', {"a": "x\ny"}),
        ({"a": 1}, {"a": 1}),
        (None, {}),
    ],
)
def test_arguments_are_read_as_text_or_as_an_object(arguments: object, value: Json) -> None:
    assert answered(_calling(_call(arguments)))["content"][0]["input"] == value


def test_numbers_in_arguments_keep_their_digits() -> None:
    message = answered(_calling(_call('{"a":1.50,"b":123456789012345678901}')))
    assert message["content"][0]["input"]["b"] == 123456789012345678901


@pytest.mark.parametrize(
    ("call", "finish_reason", "error"),
    [
        (_call('{"a":'), "length", 'the arguments of the call of \'search\' are cut off at max_tokens: "{\\"a\\":".'),
        (_call("[1]"), "tool_calls", "the arguments of the call of 'search' are not a JSON object: \"[1]\"."),
        (_call("x y"), "tool_calls", "the arguments of the call of 'search' are not a JSON object: \"x y\"."),
        ({"id": "c", "type": "custom", "custom": {}}, "tool_calls", "it has a tool call that is not a function call."),
    ],
)
def test_a_call_that_no_block_can_hold_is_an_error_and_is_not_paid_for_again(
    call: Json, finish_reason: str, error: str
) -> None:
    with pytest.raises(NoUpstreamAnswer) as caught:
        answered(_calling(call), finish_reason=finish_reason)
    assert str(caught.value) == f"The provider's answer cannot be used: {error}"
    assert not caught.value.retry_safe


def test_a_call_without_an_id_gets_one() -> None:
    calls = [_call(id=None), _call(id="")]
    assert [block["id"] for block in answered(_calling(*calls))["content"]] == ["call_0", "call_1"]


def test_the_older_form_of_a_call_is_understood() -> None:
    assistant_message = {"role": "assistant", "content": None, "function_call": {"name": "search", "arguments": "{}"}}
    message = answered(assistant_message, finish_reason="function_call")
    assert message["content"] == [{"type": "tool_use", "id": "call_0", "name": "search", "input": {}}]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_becomes_a_thinking_block_before_the_text(field: str) -> None:
    # vLLM and Ollama send reasoning; SGLang, llama.cpp and older vLLM reasoning_content.
    assert answered({"role": "assistant", "content": "Yes.", field: "Let me see."})["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": ""},
        {"type": "text", "text": "Yes.", "citations": None},
    ]


def test_parts_of_an_answer_become_blocks() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Let me "}, {"type": "text", "text": "see."}]},
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "Yes."},
    ]
    assert answered({"role": "assistant", "content": parts})["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": ""},
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "Yes.", "citations": None},
    ]


def test_a_part_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(NoUpstreamAnswer, match="Messages has no equivalent of a part of the type 'video'"):
        answered({"role": "assistant", "content": [{"type": "video"}]})


def test_an_answer_without_a_choice_is_an_error() -> None:
    with pytest.raises(NoUpstreamAnswer, match="it has no choices"):
        answered(choices=[])


@pytest.mark.parametrize("content", ["", None])
def test_an_empty_answer_is_a_message_without_blocks(content: str | None) -> None:
    assert answered({"role": "assistant", "content": content})["content"] == []


def test_fields_that_an_answer_lacks_are_filled_from_the_request() -> None:
    message = answered(id=None, model=None, usage=None)
    assert (message["id"], message["model"]) == ("msg_c-1", "asked")
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (0, 0)
    assert message["usage"]["cache_read_input_tokens"] is None


@pytest.mark.parametrize(
    ("sent", "tier"),
    [("default", "standard"), ("priority", "priority"), ("flex", None), (None, None)],
)
def test_the_service_tier_is_translated_if_messages_has_an_equivalent(sent: str | None, tier: str | None) -> None:
    assert answered(service_tier=sent)["usage"]["service_tier"] == tier


def test_a_cache_larger_than_the_prompt_does_not_count_below_zero() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}
    assert answered(usage=usage)["usage"]["input_tokens"] == 0
