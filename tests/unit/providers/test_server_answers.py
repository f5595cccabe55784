"""Answers of real servers: one that can be used is a result, and one that is not whole is an error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.finish_reasons import FINISH_WORDS, normalize_finish_reason
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry.known_servers import OPENAI, SGLANG
from tests.unit.providers.calls import COMPLETION, MESSAGE, Json, response, row

HANDLER = OpenAIHandler(SGLANG)
RESPONSES_PARAMS = b'{"model":"model","input":"Hello"}'
RESPONSE: Json = {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": []}


def completion(message: object = None, choice: Json | None = None, **fields: Any) -> Json:
    """Make a completion; ``choice`` and ``fields`` replace fields of its choice and of itself."""
    sent = {"role": "assistant", "content": "hi"} if message is None else message
    return COMPLETION | {"choices": [{"index": 0, "message": sent, "finish_reason": "stop"} | (choice or {})]} | fields


def decode(answer: object, kind: RowKind = "messages", status: int = 200, handler: OpenAIHandler = HANDLER) -> Json:
    params = RESPONSES_PARAMS if kind == "responses" else None
    document: Json = msgspec.json.decode(handler.decode(row(params, kind=kind), response(answer, status=status)))
    return document


ODD_FIELDS: list[Json] = [
    {"usage": {"prompt_tokens": 14417.92, "completion_tokens": 57.0, "total_tokens": 14474.92}},
    {"usage": {"prompt_tokens": "3"}},
    {"usage": {"prompt_tokens": {"text": 1}, "prompt_tokens_details": []}},
    {"usage": "none"},
    {"usage": None, "id": None, "created": None, "model": None},
    {"id": 12},
    {"id": {"value": []}, "model": ["m"]},
    {"created": "2026-11-28T21:05:00Z"},
    {"created": {"seconds": 1}, "object": 7, "system_fingerprint": []},
    {"choices": [COMPLETION["choices"][0] | {"index": "0"}, "rest"]},
    {"choices": [COMPLETION["choices"][0] | {"index": None, "logprobs": 1, "stop_reason": 1.5}]},
    {"choices": [COMPLETION["choices"][0] | {"finish_reason": 7}]},
]


@pytest.mark.parametrize("fields", ODD_FIELDS)
def test_an_unneeded_field_of_any_type_does_not_stop_an_unchanged_answer(fields: Json) -> None:
    assert decode(COMPLETION | fields, "chat_completions") == COMPLETION | fields


@pytest.mark.parametrize("fields", ODD_FIELDS)
def test_an_unneeded_field_of_any_type_does_not_stop_a_translated_answer(fields: Json) -> None:
    assert decode(COMPLETION | fields)["content"] == [{"type": "text", "text": "Hi", "citations": None}]


@pytest.mark.parametrize(
    ("prompt", "output", "expected"),
    [
        (14417.92, 57.0, (14418, 57)),
        ("3", "2.5", (3, 3)),
        (None, {"value": 2}, (0, 0)),
        ("many", True, (0, 0)),
    ],
)
def test_numbers_of_tokens_are_rounded_up_read_from_text_or_left_out(
    prompt: object, output: object, expected: tuple[int, int]
) -> None:
    usage = decode(completion(usage={"prompt_tokens": prompt, "completion_tokens": output}))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == expected


@pytest.mark.parametrize(
    "thought", ["t", {"text": "t"}, [{"type": "text", "text": "t"}], ["t"], {"content": [{"text": "t"}]}]
)
def test_reasoning_of_any_shape_with_a_text_becomes_a_thinking_block(thought: object) -> None:
    answer = completion({"role": "assistant", "content": "42", "reasoning_content": thought})
    assert decode(answer, "chat_completions") == answer
    assert [block["type"] for block in decode(answer)["content"]] == ["thinking", "text"]
    assert decode(answer)["content"][0]["thinking"] == "t"


@pytest.mark.parametrize("content", [42, {"type": "text", "text": "42"}, ["4", "2"], [{"text": "42"}]])
def test_content_of_another_shape_is_read_as_its_text(content: object) -> None:
    assert decode(completion({"content": content}))["content"][0]["text"] == "42"


@pytest.mark.parametrize(
    "message",
    [
        {"content": {"picture": "x"}},
        {"content": True},
        {"content": "hi", "tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]},
        {"content": "hi", "tool_calls": [{"id": "c", "function": None}]},
        {"content": [{"type": "video", "video": "x"}]},
    ],
)
@pytest.mark.parametrize("kind", ["messages", "responses"])
def test_content_that_cannot_be_read_is_an_error_and_is_not_asked_for_again(kind: RowKind, message: Json) -> None:
    with pytest.raises(NoUpstreamAnswer, match="cannot be used") as caught:
        decode(completion(message), kind)
    assert not caught.value.retry_safe
    assert decode(completion(message), "chat_completions") == completion(message), "unchanged rows keep it"


def test_a_message_without_the_fields_around_its_content_is_translated() -> None:
    answer = {"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": "3", "output_tokens": 2.0}}
    document = msgspec.json.decode(AnthropicHandler().decode(row(kind="chat_completions"), response(answer)))
    assert (document["model"], document["choices"][0]["message"]["content"]) == ("model", "Hi")
    assert document["usage"]["total_tokens"] == 5


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi", "Hi"),
        ([{"type": "text", "text": None}], ""),
        ([{"type": "text"}, {"type": "text", "text": "Hi"}], "Hi"),
        ([{"type": "thinking", "thinking": None}, {"type": "text", "text": ["H", "i"]}], "Hi"),
        ([None, {"type": "text", "text": {"text": "Hi"}}], "Hi"),
        ({"type": "text", "text": "Hi"}, "Hi"),
    ],
)
def test_the_content_of_a_message_may_have_another_shape(content: object, text: str) -> None:
    answer = MESSAGE | {"content": content}
    document = msgspec.json.decode(AnthropicHandler().decode(row(kind="chat_completions"), response(answer)))
    assert document["choices"][0]["message"]["content"] == text
    assert msgspec.json.decode(AnthropicHandler().decode(row(), response(answer))) == answer


def test_a_tool_use_block_needs_only_its_name() -> None:
    answer = MESSAGE | {"content": [{"type": "tool_use", "name": "f"}, {"type": "tool_use", "id": None, "name": "g"}]}
    document = msgspec.json.decode(AnthropicHandler().decode(row(kind="chat_completions"), response(answer)))
    calls = document["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [{"name": one, "arguments": "{}"} for one in "fg"]
    assert len({call["id"] for call in calls}) == 2


@pytest.mark.parametrize("change", [{"id": 5}, {"usage": None}, {"type": None}, {"stop_reason": 1}])
def test_an_unchanged_message_needs_only_its_content(change: Json) -> None:
    assert msgspec.json.decode(AnthropicHandler().decode(row(), response(MESSAGE | change))) == MESSAGE | change


@pytest.mark.parametrize("created", ["2026-11-28T21:05:00Z", "1795899900", 1795899900.0])
def test_a_response_keeps_a_time_that_came_as_a_date_or_text(created: object) -> None:
    assert decode(COMPLETION | {"created": created}, "responses")["created_at"] == 1795899900


@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_a_whole_answer_with_another_status_of_success_is_an_answer(status: int) -> None:
    assert decode(COMPLETION, status=status)["type"] == "message"
    assert decode(COMPLETION, "chat_completions", status=status) == COMPLETION


def test_another_status_of_success_without_an_answer_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="returned 202"):
        decode({"id": "job_1"}, status=202)


@pytest.mark.parametrize("number", [b"1e999", b"[" * 900 + b"]" * 900, b'"%s"' % (b"9" * 5000)])
@pytest.mark.parametrize("field", ["prompt_tokens", "id", "created"])
def test_a_field_that_cannot_be_decoded_is_left_out(field: str, number: bytes) -> None:
    fields: Json = {"usage": {field: 12345}} if field == "prompt_tokens" else {field: 12345}
    body = msgspec.json.encode(COMPLETION | fields).replace(b"12345", number)
    assert decode(body)["content"][0]["text"] == "Hi"


# ---------------------------------------------------------------- encoding


@pytest.mark.parametrize("kind", ["messages", "chat_completions", "responses"])
@pytest.mark.parametrize("broken", [rb"hi \ud83d there", rb"hi \udE00 there", b"hi \xff there", b"hi \xe2\x82 there"])
def test_half_a_character_becomes_the_replacement_character(kind: RowKind, broken: bytes) -> None:
    body = msgspec.json.encode(completion({"content": "TEXT"})).replace(b"TEXT", broken)
    assert "hi \N{REPLACEMENT CHARACTER} there" in str(decode(body, kind))


def test_a_whole_surrogate_pair_and_an_escaped_backslash_stay() -> None:
    body = msgspec.json.encode(completion({"content": "TEXT"})).replace(b"TEXT", rb"\ud83d\ude00 \\ud83d \ud83d")
    text = decode(body)["content"][0]["text"]
    assert text == "\N{GRINNING FACE} \\ud83d \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"Infinity", b"nan"])
def test_numbers_that_json_does_not_have_become_null(number: bytes) -> None:
    body = msgspec.json.encode(completion(score=12345)).replace(b"12345", number)
    assert decode(body, "chat_completions")["score"] is None
    assert decode(body)["type"] == "message"


def test_raw_control_characters_in_a_text_are_escaped() -> None:
    body = msgspec.json.encode(completion({"content": "TEXT"})).replace(b"TEXT", b"a\n\tb")
    assert decode(body)["content"][0]["text"] == "a\n\tb"
    assert decode(body, "chat_completions")["choices"][0]["message"]["content"] == "a\n\tb"


@pytest.mark.parametrize("body", [b'{"choices":[{"message":{"content":"\xff', b"<html>\xff</html>"])
def test_a_body_with_another_fault_is_still_no_answer(body: bytes) -> None:
    with pytest.raises(NoUpstreamAnswer):
        HANDLER.decode(row(), response(body))


# ---------------------------------------------------------------- tool arguments


@pytest.mark.parametrize(
    "arguments",
    [
        r'"{\"a\": \"1\"}"',
        '{"a": "1"}',
        {"a": "1"},
        msgspec.json.encode('{"a": "1"}').decode(),
        '\n{"a":\t"1"}',
    ],
)
def test_arguments_that_hold_an_object_are_the_input(arguments: object) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    answer = completion({"content": None, "tool_calls": [call]}, {"finish_reason": "tool_calls"})
    assert decode(answer)["content"][0]["input"] == {"a": "1"}
    assert msgspec.json.decode(decode(answer, "responses")["output"][0]["arguments"]) == {"a": "1"}


@pytest.mark.parametrize("arguments", ['{"a": "x\ny"}', '"{\\"a\\": \\"x\\\\ny\\"}"', '"{\\"a\\": \\"x\ny\\"}"'])
def test_raw_line_breaks_in_arguments_are_escaped(arguments: str) -> None:
    call = {"id": 7, "function": {"name": "f", "arguments": arguments}}
    assert decode(completion({"tool_calls": [call]}))["content"][0]["input"] == {"a": "x\ny"}


# ---------------------------------------------------------------- how an answer ended


@pytest.mark.parametrize(
    "word",
    [
        "model_length",
        "MAX_TOKENS",
        "max_tokens",
        "LENGTH",
        "max_output_tokens",
        "FinishReason.MAX_TOKENS",
        "max-length",
        "REASON_MAX_LEN",
        "context",
        "limit",
        "time_limit",
        "CONTINUATION",
        "repetition",
        "maxTokens",
        "MaxTokens",
        "MAXTOKENS",
        "StopReason.maxTokens",
        "out_of_tokens",
        "tooLong",
    ],
)
def test_an_answer_that_was_cut_off_is_never_a_whole_one(word: str) -> None:
    answer = completion(choice={"finish_reason": word})
    assert decode(answer)["stop_reason"] == "max_tokens"
    document = decode(answer, "responses")
    assert (document["status"], document["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


@pytest.mark.parametrize("word", ["stop", "REASON_STOP", "eos_token", "word", "endTurn", "end_id", "null", "", None])
def test_an_answer_that_the_model_ended_is_whole(word: str | None) -> None:
    answer = completion(choice={"finish_reason": word})
    assert (decode(answer)["stop_reason"], decode(answer)["stop_details"]) == ("end_turn", None)
    assert decode(answer, "responses")["status"] == "completed"


@pytest.mark.parametrize("word", ["content_filter", "SAFETY", "sensitive", "guardrail_intervened", "content_filtered"])
@pytest.mark.parametrize("message", [{"content": "part"}, {"content": None}, None])
def test_an_answer_that_a_filter_blocked_is_a_refusal(word: str, message: Json | None) -> None:
    answer = completion(choice={"finish_reason": word, "message": message})
    assert decode(answer)["stop_reason"] == "refusal"
    assert decode(answer, "responses")["incomplete_details"] == {"reason": "content_filter"}
    assert decode(answer, "chat_completions") == answer


@pytest.mark.parametrize("choice", [{"finish_reason": "length"}, {"finish_reason": "MAX_TOKENS", "message": None}])
def test_an_answer_that_was_cut_off_before_its_first_text_is_an_empty_one(choice: Json) -> None:
    answer = COMPLETION | {"choices": [{"index": 0} | choice]}
    assert (decode(answer)["content"], decode(answer)["stop_reason"]) == ([], "max_tokens")
    assert decode(answer, "responses")["status"] == "incomplete"
    assert decode(answer, "chat_completions") == answer


@pytest.mark.parametrize("kind", ["messages", "chat_completions", "responses"])
@pytest.mark.parametrize(
    "word",
    [
        "insufficient_system_resource",
        "network_error",
        "timeout",
        "ERROR",
        "abort",
        "upstream_failure",
        "malformed_tool_use",
        "MALFORMED_FUNCTION_CALL",
        "not_finished",
        "USER_CANCEL",
        "finish_reason_error",
    ],
)
def test_an_answer_that_the_server_broke_off_is_asked_for_again(kind: RowKind, word: str) -> None:
    with pytest.raises(NoUpstreamAnswer, match=f"is incomplete .*{word}") as caught:
        decode(completion(choice={"finish_reason": word}), kind)
    assert caught.value.retry_safe


def test_each_word_has_one_class_and_is_written_as_it_is_compared() -> None:
    words = [word for group in FINISH_WORDS.values() for word in group]
    assert len(words) == len(set(words))
    assert words == [normalize_finish_reason(word) for word in words]


def test_a_word_that_is_not_known_stays_visible() -> None:
    answer = completion(choice={"finish_reason": "bored"})
    document = decode(answer)
    assert (document["stop_reason"], document["stop_details"]["type"]) == ("end_turn", "unknown_finish_reason")
    assert "'bored'" in document["stop_details"]["explanation"]
    assert decode(answer, "responses")["metadata"] == {"unknown_finish_reason": "bored"}


@pytest.mark.parametrize("kind", ["messages", "chat_completions"])
@pytest.mark.parametrize(
    ("error", "status", "retried"),
    [
        ({"code": 502, "message": "boom"}, 502, True),
        ({"code": "429", "message": "boom"}, 429, True),
        ({"code": "9" * 5000, "message": "boom"}, 500, True),
        ({"code": "rate_limit_exceeded", "message": "boom"}, 429, True),
        ({"message": "boom"}, 500, True),
        ("boom", 500, True),
        ({"code": 400, "message": "boom"}, 400, False),
        ({"type": "invalid_request_error", "message": "boom"}, 400, False),
    ],
)
def test_an_error_object_on_or_beside_the_choices_is_that_error(
    kind: RowKind, error: object, status: int, retried: bool
) -> None:
    beside = completion(error=error)
    for answer in (completion(choice={"error": error, "finish_reason": None}), beside, {"error": error, "choices": []}):
        with pytest.raises(UpstreamError, match="boom") as caught:
            decode(answer, kind)
        assert (caught.value.status, caught.value.retry_safe) == (status, retried)


@pytest.mark.parametrize("nothing", [None, {}, "", [], False])
def test_an_empty_error_field_is_no_error(nothing: object) -> None:
    assert decode(completion(choice={"error": nothing}, error=nothing))["stop_reason"] == "end_turn"


# ---------------------------------------------------------------- Responses


@pytest.mark.parametrize(
    ("code", "status", "retried"),
    [
        ("server_error", 500, True),
        ("rate_limit_exceeded", 429, True),
        ("invalid_prompt", 400, False),
        ("image_too_small", 200, False),
    ],
)
def test_the_code_of_a_response_that_failed_decides_the_retry(code: str, status: int, retried: bool) -> None:
    failed = RESPONSE | {"status": "failed", "error": {"code": code, "message": "boom"}}
    with pytest.raises(UpstreamError, match="boom") as caught:
        decode(failed, "responses", handler=OpenAIHandler(OPENAI))
    assert (caught.value.status, caught.value.retry_safe) == (status, retried)


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled", "failed"])
def test_a_response_that_is_not_finished_is_no_answer(status: str) -> None:
    with pytest.raises(NoUpstreamAnswer) as caught:
        decode(RESPONSE | {"status": status}, "responses", handler=OpenAIHandler(OPENAI))
    assert not caught.value.retry_safe


@pytest.mark.parametrize(
    "change", [{"status": "incomplete"}, {"status": None}, {"error": None}, {"usage": {"input_tokens": 1.5}}, {"id": 1}]
)
def test_a_response_with_output_passes_unchanged(change: Json) -> None:
    assert decode(RESPONSE | change, "responses", handler=OpenAIHandler(OPENAI)) == RESPONSE | change
