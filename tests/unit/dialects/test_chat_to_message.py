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
        ({"id": "c", "type": "custom", "custom": {}}, "tool_calls", "it has a tool call that is not a function call."),
        ({"id": "c"}, "tool_calls", "it has a tool call that is not a function call."),
    ],
)
def test_a_call_that_no_block_can_hold_is_an_error_and_is_not_paid_for_again(
    call: Json, finish_reason: str, error: str
) -> None:
    with pytest.raises(NoUpstreamAnswer) as caught:
        answered(_calling(call), finish_reason=finish_reason)
    assert str(caught.value) == f"The provider's answer cannot be used: {error}"
    assert not caught.value.retry_safe


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "x y", '{"a": 1}}', "'a'", "3", '"text"', "é" * 3000])
def test_arguments_that_are_no_object_are_kept_beside_the_rest_of_the_answer(arguments: str) -> None:
    """The key is the one that Anthropic documents for invalid JSON in an input."""
    message = {
        "role": "assistant",
        "content": "Looking.",
        "tool_calls": [_call('{"q":1}'), _call(arguments, id="call_2")],
    }
    document = answered(message, finish_reason="tool_calls")
    assert [block["type"] for block in document["content"]] == ["text", "tool_use", "tool_use"]
    assert [block.get("input") for block in document["content"]] == [None, {"q": 1}, {"INVALID_JSON": arguments}]
    assert anthropic.types.Message.model_validate(document).stop_reason == "tool_use"


def test_arguments_that_were_cut_off_are_kept_and_the_message_says_that_it_was_cut_off() -> None:
    document = answered(_calling(_call('{"a":')), finish_reason="length")
    assert (document["stop_reason"], document["content"][0]["input"]) == ("max_tokens", {"INVALID_JSON": '{"a":'})


def test_a_call_without_an_id_gets_one() -> None:
    calls = [_call(id=None), _call(id="")]
    ids = [block["id"] for block in answered(_calling(*calls))["content"]]
    assert len(set(ids)) == 2
    assert all(one.startswith("call_") for one in ids)


def test_the_older_form_of_a_call_is_understood() -> None:
    assistant_message = {"role": "assistant", "content": None, "function_call": {"name": "search", "arguments": "{}"}}
    message = answered(assistant_message, finish_reason="function_call")
    [block] = message["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "search", {})
    assert block["id"].startswith("call_")


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


PNG_URL = "data:image/png;base64,iVBORw0KGgo="
IMAGE_PART: Json = {"type": "image_url", "image_url": {"url": PNG_URL}}


@pytest.mark.parametrize(
    "images",
    [
        [IMAGE_PART],
        [{"image_url": {"url": PNG_URL}}],
        [PNG_URL],
        [{"b64_json": "iVBORw0KGgo="}],
        IMAGE_PART,
        [{"url": PNG_URL}],
    ],
)
def test_generated_images_beside_the_text_are_kept_as_markdown(images: object) -> None:
    # OpenRouter: choices[0].message.images.
    message = answered({"role": "assistant", "content": "Here:", "images": images})
    assert [block["text"] for block in message["content"]] == ["Here:", f"![image]({PNG_URL})"]


def test_generated_images_in_the_content_are_kept_in_their_place() -> None:
    parts = [{"type": "text", "text": "a"}, IMAGE_PART, {"type": "text", "text": "b"}]
    message = answered({"role": "assistant", "content": parts})
    assert [block["text"] for block in message["content"]] == ["a", f"![image]({PNG_URL})", "b"]


@pytest.mark.parametrize("images", [None, [], ""])
def test_no_images_are_no_blocks(images: object) -> None:
    assert len(answered({"role": "assistant", "content": "Hi", "images": images})["content"]) == 1


def test_an_image_in_an_unknown_form_is_kept_as_its_json() -> None:
    message = answered({"role": "assistant", "content": None, "images": [{"asset": 7}]})
    assert message["content"][0]["text"] == '![image]({"asset":7})'


@pytest.mark.parametrize(
    ("part", "texts"),
    [
        ({"type": "output_text", "text": "b"}, ["a", "b"]),
        ({"type": "refusal", "refusal": "No."}, ["a", "No."]),
        ({"type": "reference", "reference_ids": [1]}, ["a"]),
        ({"type": "text", "text": ""}, ["a"]),
        ({"type": "something_newer", "text": "b"}, ["a", "b"]),
    ],
)
def test_a_part_of_another_type_keeps_its_text(part: Json, texts: list[str]) -> None:
    message = answered({"role": "assistant", "content": [{"type": "text", "text": "a"}, part]})
    assert [block["text"] for block in message["content"]] == texts


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
