"""Gemini's answers and requests where other gateways went wrong: each test is a public report (more-dialects 6)."""

from __future__ import annotations

import base64
import struct

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, Untranslatable
from batchgate.engine.model.provider_call import RequestRow, RowKind, UpstreamResponse
from batchgate.providers.dialects.gemini_models import SKIP_SIGNATURE
from batchgate.providers.handlers.answers import decode_answer
from batchgate.providers.registry.known_servers import VLLM
from batchgate.providers.responses.provider_errors import upstream_error
from tests.unit.dialects.openai_rows import (
    CALL,
    CREATED,
    USER,
    Json,
    answered,
    chat,
    completion,
    gemini_answer,
    generate,
    to_gemini,
    translate,
)

SIGNATURE = {"extra_content": {"google": {"thought_signature": "c2ln"}}}


def to_chat(answer: Json) -> Json:
    return answered(answer, "generate_content", "chat_completions")


def tool(content: str, call_id: str = "call_1") -> Json:
    return {"role": "tool", "content": content, "tool_call_id": call_id}


def parallel(*calls: Json) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": [*calls]}


# ---------------------------------------------------------------- thought signatures (traps 1 and 2)


def test_a_signature_goes_back_on_the_part_of_its_call_as_it_came() -> None:
    there = to_gemini(chat(messages=[USER, parallel(CALL | SIGNATURE), tool("o")]))
    assert there["contents"][1]["parts"][0]["thoughtSignature"] == "c2ln"


def test_only_the_first_of_parallel_calls_without_a_signature_gets_the_value_that_skips_the_check() -> None:
    second = CALL | {"id": "call_2"}
    there = to_gemini(chat(messages=[USER, parallel(CALL, second), tool("a"), tool("b", "call_2")]))
    assert [part.get("thoughtSignature") for part in there["contents"][1]["parts"]] == [SKIP_SIGNATURE, None]


def test_a_model_before_gemini_3_gets_no_made_up_signature() -> None:
    there = to_gemini(chat(messages=[USER, parallel(CALL), tool("o")]), "gemini-2.5-flash")
    assert "thoughtSignature" not in there["contents"][1]["parts"][0]


def test_messages_carry_a_signature_in_a_redacted_thinking_block() -> None:
    answer = gemini_answer({"functionCall": {"name": "search", "args": {"q": "x"}}, "thoughtSignature": "c2ln"})
    redacted, use = answered(answer, "generate_content", "messages")["content"]
    assert (redacted["type"], use["type"]) == ("redacted_thinking", "tool_use")
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": "o"}
    row = {
        "model": "m",
        "max_tokens": 9,
        "messages": [USER, {"role": "assistant", "content": [redacted, use]}, {"role": "user", "content": [result]}],
    }
    assert to_gemini(row, kind="messages")["contents"][1]["parts"][0]["thoughtSignature"] == "c2ln"
    elsewhere = translate(row, "messages", "chat_completions", VLLM)
    assert "extra_content" not in elsewhere["messages"][1]["tool_calls"][0]


def test_a_signature_on_an_empty_last_text_changes_no_answer() -> None:
    answer = gemini_answer({"text": "Hi"}, {"text": "", "thoughtSignature": "c2ln"})
    assert to_chat(answer)["choices"][0]["message"]["content"] == "Hi"


# ---------------------------------------------------------------- how answers end (traps 3, 4 and 5)


def test_stop_with_calls_is_tool_calls() -> None:
    choice = to_chat(gemini_answer({"functionCall": {"name": "f"}}))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    message = answered(gemini_answer({"functionCall": {"name": "f"}}), "generate_content", "messages")
    assert message["stop_reason"] == "tool_use"


@pytest.mark.parametrize("candidate", [{"content": None}, {"content": {"role": "model"}}, {"content": {}}])
def test_a_candidate_without_content_is_a_choice_that_thoughts_cut_off(candidate: Json) -> None:
    choice = to_chat(gemini_answer(**candidate, finishReason="MAX_TOKENS"))["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "")


def test_a_blocked_prompt_is_a_choice_that_was_filtered() -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 5}}
    choice = to_chat(blocked)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", None)
    assert answered(blocked, "generate_content", "messages")["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("SPII", "content_filter"),
        ("ESCALATION", "content_filter"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("FINISH_REASON_UNSPECIFIED", "stop"),
        (None, "stop"),
        ("A_NEW_WORD", "A_NEW_WORD"),
    ],
)
def test_each_finish_reason_has_its_word(word: str | None, reason: str) -> None:
    assert to_chat(gemini_answer(finishReason=word))["choices"][0]["finish_reason"] == reason


def decoded(answer: Json, kind: RowKind = "chat_completions", status: int = 200, params: Json | None = None) -> Json:
    """Read an answer as the handler does."""
    row = RequestRow(custom_id="c", params=msgspec.json.encode(params or chat()), model="m", headers={}, kind=kind)
    response = UpstreamResponse(status=status, headers={}, body=msgspec.json.encode(answer))
    sent: RowKind = "embed_content" if kind in {"embeddings", "embed_content"} else "generate_content"
    document: Json = msgspec.json.decode(decode_answer(row, response, sent, CREATED))
    return document


@pytest.mark.parametrize("kind", ["chat_completions", "generate_content"])
@pytest.mark.parametrize("word", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "NO_IMAGE"])
def test_a_malformed_answer_is_tried_again(word: str, kind: RowKind) -> None:
    with pytest.raises(NoUpstreamAnswer) as caught:
        decoded(gemini_answer(content=None, finishReason=word), kind)
    assert (caught.value.kind, caught.value.retry_safe) == ("api_error", True)


def test_an_unknown_ending_without_content_is_tried_again() -> None:
    with pytest.raises(NoUpstreamAnswer) as caught:
        to_chat(gemini_answer(content=None, finishReason="OTHER"))
    assert caught.value.retry_safe


def test_a_missing_signature_is_the_fault_of_the_request() -> None:
    with pytest.raises(NoUpstreamAnswer) as caught:
        decoded(gemini_answer(content=None, finishReason="MISSING_THOUGHT_SIGNATURE"))
    assert (caught.value.kind, caught.value.retry_safe) == ("invalid_request_error", False)


@pytest.mark.parametrize("kind", ["chat_completions", "generate_content"])
def test_an_answer_without_candidates_is_an_error(kind: RowKind) -> None:
    with pytest.raises(NoUpstreamAnswer, match="no candidates"):
        decoded({"usageMetadata": {"promptTokenCount": 5}}, kind)


# ---------------------------------------------------------------- usage (traps 6 and 7)


def test_thoughts_are_part_of_the_completion_and_tool_results_of_the_prompt() -> None:
    answer = gemini_answer() | {
        "usageMetadata": {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 40,
            "candidatesTokenCount": 7,
            "thoughtsTokenCount": 30,
            "toolUsePromptTokenCount": 5,
            "totalTokenCount": 142,
        }
    }
    assert to_chat(answer)["usage"] == {
        "prompt_tokens": 105,
        "completion_tokens": 37,
        "total_tokens": 142,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    usage = answered(answer, "generate_content", "messages")["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (65, 40, 37)


def test_thoughts_that_the_server_counts_as_candidates_are_not_counted_twice() -> None:
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 40, "thoughtsTokenCount": 30, "totalTokenCount": 50}
    assert to_chat(gemini_answer() | {"usageMetadata": usage})["usage"]["completion_tokens"] == 40


def test_absent_counts_are_zero() -> None:
    usage = to_chat(gemini_answer() | {"usageMetadata": {}})["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (0, 0, 0)


# ---------------------------------------------------------------- schemas and tools (traps 8, 9, 10)


def test_json_schema_goes_byte_for_byte_where_gemini_reads_json_schema() -> None:
    schema = {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a", "additionalProperties": False}
    row = chat(
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}},
    )
    config = to_gemini(row)["generationConfig"]
    assert config == {"responseMimeType": "application/json", "responseJsonSchema": schema}
    function = {"type": "function", "function": {"name": "f", "parameters": schema}}
    [declared] = to_gemini(chat(tools=[function]))["tools"][0]["functionDeclarations"]
    assert declared == {"name": "f", "parametersJsonSchema": schema}


def test_a_schema_of_gemini_becomes_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "propertyOrdering": ["a", "b"],
        "properties": {
            "a": {"type": "STRING", "nullable": True, "enum": ["x"]},
            "b": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "2"},
            "type": {"any_of": [{"type": "NUMBER"}]},
        },
    }
    row = generate(tools=[{"functionDeclarations": [{"name": "f", "parameters": schema}]}])
    [function] = translate(row, "generate_content", "chat_completions")["tools"]
    assert function["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", None]},
            "b": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
            "type": {"anyOf": [{"type": "number"}]},
        },
    }


def test_the_result_of_a_tool_stays_a_text_so_that_references_in_it_are_none() -> None:
    text = '{"$ref": "#/a"}'
    there = to_gemini(chat(messages=[USER, parallel(CALL), tool(text)]))
    assert there["contents"][2]["parts"][0]["functionResponse"]["response"] == {"output": text}


def test_json_with_functions_is_refused_for_models_that_answer_400() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    row = chat(tools=[function], response_format={"type": "json_object"})
    with pytest.raises(Untranslatable, match=r"^response_format: gemini-2.5-pro does not combine it with tools"):
        to_gemini(row, "gemini-2.5-pro")
    assert to_gemini(row, "gemini-3-pro")["generationConfig"] == {"responseMimeType": "application/json"}


# ---------------------------------------------------------------- calls and results (traps 11 and 12)


def test_calls_of_one_function_without_ids_get_different_ids() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    same = to_chat(gemini_answer(call, call | {"functionCall": {"name": "f", "id": "null"}}))
    first, second = (made["id"] for made in same["choices"][0]["message"]["tool_calls"])
    assert first != second
    assert "null" not in {first, second}


def test_results_without_ids_are_paired_with_the_calls_of_their_name_in_order() -> None:
    row = generate(
        contents=[
            {"role": "model", "parts": [{"functionCall": {"name": name}} for name in ("f", "g", "f")]},
            {
                "role": "function",
                "parts": [
                    {"functionResponse": {"name": name, "response": {"output": text}}}
                    for name, text in (("f", "first"), ("f", "third"), ("g", "second"))
                ],
            },
        ]
    )
    said, *results = translate(row, "generate_content", "chat_completions")["messages"]
    ids = [call["id"] for call in said["tool_calls"]]
    assert len({*ids}) == 3
    by_id = {result["tool_call_id"]: result["content"] for result in results}
    assert [by_id[call_id] for call_id in ids] == ["first", "second", "third"]


def test_all_results_of_a_turn_are_one_content_with_ids_and_names() -> None:
    other = {"id": "call_2", "type": "function", "function": {"name": "other", "arguments": ""}}
    there = to_gemini(chat(messages=[USER, parallel(CALL, other), tool("a"), tool("b", "call_2"), USER]))
    assert [content["role"] for content in there["contents"]] == ["user", "model", "user", "user"]
    results = [part["functionResponse"] for part in there["contents"][2]["parts"]]
    assert [(found["id"], found["name"]) for found in results] == [("call_1", "search"), ("call_2", "other")]


def test_a_result_without_its_call_is_refused_by_name() -> None:
    with pytest.raises(Untranslatable, match=r"^messages.1.tool_call_id: "):
        to_gemini(chat(messages=[USER, tool("o")]))
    row = generate(contents=[{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}])
    with pytest.raises(Untranslatable, match=r"^contents.0.parts.0.functionResponse.name: "):
        translate(row, "generate_content", "chat_completions")


# ---------------------------------------------------------------- errors (trap 13)


def rpc(status: int, word: str, *details: Json, message: str = "m") -> UpstreamResponse:
    error = {"code": status, "message": message, "status": word, "details": [*details]}
    return UpstreamResponse(status=status, headers={}, body=msgspec.json.encode([{"error": error}]))


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.837906927s"}
PER_DAY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}],
}


def test_the_delay_of_retry_info_is_obeyed_to_the_fraction() -> None:
    message = "You exceeded your current quota, please check your plan and billing details."
    error = upstream_error(rpc(429, "RESOURCE_EXHAUSTED", PER_DAY, RETRY, message=message))
    assert (error.kind, error.retry_safe) == ("rate_limit_error", True)
    assert error.retry_after == pytest.approx(45.837906927)


def test_a_quota_of_a_day_without_a_delay_waits_long() -> None:
    assert upstream_error(rpc(429, "RESOURCE_EXHAUSTED", PER_DAY)).retry_after == 3600


def test_a_wrong_key_is_400_and_yet_no_fault_of_the_request() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = upstream_error(rpc(400, "INVALID_ARGUMENT", info))
    assert (error.kind, error.retry_safe) == ("authentication_error", False)


# ---------------------------------------------------------------- images and files (trap 19)


@pytest.mark.parametrize(
    ("url", "reason"),
    [("https://a.example/a.png", "does not fetch"), ("data:image/gif;base64,AA==", "should be one of")],
)
def test_an_image_that_gemini_does_not_read_is_refused_by_name(url: str, reason: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    with pytest.raises(Untranslatable, match=rf"^messages.0.content.0.image_url.url: .*{reason}"):
        to_gemini(chat(messages=[{"role": "user", "content": [part]}]))


def test_an_image_of_an_answer_arrives_in_each_dialect() -> None:
    answer = gemini_answer({"text": "Here"}, {"inlineData": {"mimeType": "image/png", "data": "_-8"}})
    [image] = to_chat(answer)["choices"][0]["message"]["images"]
    assert image["image_url"]["url"] == "data:image/png;base64,/+8="
    back = answered(to_chat(answer), "chat_completions", "generate_content")
    assert back["candidates"][0]["content"]["parts"][1]["inlineData"] == {"mimeType": "image/png", "data": "/+8="}


def test_output_of_googles_tools_is_refused_by_name() -> None:
    with pytest.raises(Untranslatable, match=r"^candidates.0.content.parts.0.executableCode: "):
        to_chat(gemini_answer({"executableCode": {"code": "1"}}))


# ---------------------------------------------------------------- answers and requests of embeddings


def test_each_text_is_a_request_of_its_own() -> None:
    row = {"model": "m", "input": ["a", "b"], "dimensions": 8}
    there = translate(row, "embeddings", "embed_content")
    assert [request["content"]["parts"] for request in there["requests"]] == [[{"text": "a"}], [{"text": "b"}]]
    with pytest.raises(Untranslatable, match=r"^input: "):
        translate({"model": "m", "input": [1, 2]}, "embeddings", "embed_content")


def test_embeddings_come_as_base64_where_the_request_asks_for_it() -> None:
    answer = {"embeddings": [{"values": [0.5, -1.0]}]}
    params = {"model": "m", "input": "a", "encoding_format": "base64"}
    [item] = decoded(answer, "embeddings", params=params)["data"]
    assert struct.unpack("<2f", base64.b64decode(item["embedding"])) == (0.5, -1.0)
    assert decoded(answer, "embeddings", params={"model": "m", "input": "a"})["data"][0]["embedding"] == [0.5, -1.0]


def test_an_answer_of_another_server_that_was_refused_is_safety() -> None:
    refused = completion({"role": "assistant", "content": None, "refusal": "No"})
    candidate = answered(refused, "chat_completions", "generate_content")["candidates"][0]
    assert (candidate["finishReason"], candidate["content"]["parts"]) == ("SAFETY", [{"text": "No"}])
