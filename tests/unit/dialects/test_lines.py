"""Lines of batches are translated between the dialects one by one; no line is lost.

The lines of OpenAI and their codes of errors: facts/batch-apis.md 4.3.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.request_lines import anthropic_request_line, openai_request_line
from batchgate.providers.dialects.result_lines import anthropic_result_line, openai_result_line
from tests.unit.dialects.openai_rows import CREATED, USER, Json, chat, completion, message, response, responses

PARAMS: Json = {"model": "m", "max_tokens": 9, "messages": [USER]}


def decoded(line: bytes) -> Json:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    document: Json = msgspec.json.decode(line)
    return document


def as_openai(result: Json, kind: RowKind = "chat_completions") -> Json:
    line = msgspec.json.encode({"custom_id": 'a "name"', "result": result}) + b"\n"
    return decoded(openai_result_line(line, kind=kind, created=CREATED))


def as_anthropic(kind: RowKind = "chat_completions", **fields: Any) -> Json:
    line = {"id": "batch_req_1", "custom_id": 'a "name"', "response": None, "error": None} | fields
    document = decoded(anthropic_result_line(msgspec.json.encode(line) + b"\n", kind=kind))
    assert document["custom_id"] == 'a "name"'
    result: Json = document["result"]
    return result


def http(body: Json, status: int = 200) -> Json:
    return {"status_code": status, "request_id": "req_1", "body": body}


@pytest.mark.parametrize(("kind", "name"), [("chat_completions", "chat.completion"), ("responses", "response")])
def test_a_succeeded_line_is_a_response_with_the_status_200(kind: RowKind, name: str) -> None:
    line = as_openai({"type": "succeeded", "message": message()}, kind)
    assert line.keys() == {"id", "custom_id", "response", "error"}
    assert line["id"].startswith("batch_req_")
    assert (line["custom_id"], line["error"]) == ('a "name"', None)
    assert (line["response"]["status_code"], line["response"]["body"]["object"]) == (200, name)


def test_the_id_of_a_line_is_the_same_whenever_it_is_read_and_differs_between_lines() -> None:
    result = {"type": "canceled"}
    assert as_openai(result)["id"] == as_openai(result)["id"] != as_openai({"type": "expired"})["id"]


@pytest.mark.parametrize(
    ("kind", "status"), [("invalid_request_error", 400), ("rate_limit_error", 429), ("api_error", 500)]
)
def test_an_errored_line_is_a_response_with_the_status_of_its_class_and_comes_back(kind: str, status: int) -> None:
    envelope = {"type": "error", "error": {"type": kind, "message": "No."}, "request_id": "req_1"}
    line = as_openai({"type": "errored", "error": envelope})
    error = {"message": "No.", "type": kind, "param": None, "code": None}
    assert (line["response"], line["error"]) == (http({"error": error}, status), None)
    assert as_anthropic(response=line["response"]) == {"type": "errored", "error": envelope}


@pytest.mark.parametrize(("ending", "code"), [("expired", "batch_expired"), ("canceled", "batch_cancelled")])
def test_a_request_that_was_never_answered_has_the_documented_code_and_comes_back(ending: str, code: str) -> None:
    line = as_openai({"type": ending})
    assert (line["response"], line["error"]["code"]) == (None, code)
    assert as_anthropic(error=line["error"]) == {"type": ending}


def test_a_message_that_cannot_be_translated_becomes_an_error_line() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    line = as_openai({"type": "succeeded", "message": message(block)})
    assert (line["response"], line["error"]["code"]) == (None, "untranslatable")
    assert line["error"]["message"].startswith("content.0: results of Anthropic's built-in tools cannot be translated")


@pytest.mark.parametrize(("kind", "body"), [("chat_completions", completion()), ("responses", response())])
def test_an_answer_of_openai_is_a_succeeded_line(kind: RowKind, body: Json) -> None:
    result = as_anthropic(kind, response=http(body))
    assert (result["type"], result["message"]["type"]) == ("succeeded", "message")
    assert result["message"]["content"] == [{"type": "text", "text": "Hi", "citations": None}]


def test_embeddings_read_as_messages_become_an_errored_line() -> None:
    result = as_anthropic("embeddings", response=http({"object": "list", "data": []}))
    assert result["error"]["error"]["type"] == "invalid_request_error"
    assert result["error"]["error"]["message"].startswith(
        "This request succeeded, but Batchgate cannot translate embeddings to"
    )


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"error": {"code": "request_timeout", "message": "Too slow."}}, "timeout_error", "Too slow."),
        ({"error": {"code": "odd", "message": None}}, "api_error", "The batch reported the error code odd."),
        ({}, "api_error", "The line has neither a response nor an error."),
        (
            {"response": http({"error": {"message": "No such model.", "code": "model_not_found"}}, 404)},
            "not_found_error",
            "No such model.",
        ),
        (
            {"response": http({"object": "list"})},
            "api_error",
            "The provider returned 200, but the body is not a Chat Completion",
        ),
    ],
)
def test_every_failure_becomes_an_errored_line(fields: Json, kind: str, words: str) -> None:
    result = as_anthropic(**fields)
    assert (result["type"], result["error"]["error"]["type"]) == ("errored", kind)
    assert result["error"]["error"]["message"].startswith(words)


# ---------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("kind", "url"), [("chat_completions", "/v1/chat/completions"), ("responses", "/v1/responses")]
)
def test_a_request_line_comes_back_from_openai(kind: RowKind, url: str) -> None:
    line = {"custom_id": "a", "params": PARAMS}
    there = openai_request_line(msgspec.json.encode(line), kind=kind)
    assert {name: decoded(there)[name] for name in ("custom_id", "method", "url")} == {
        "custom_id": "a",
        "method": "POST",
        "url": url,
    }
    assert decoded(anthropic_request_line(there)) == line


def openai_line(url: str, body: Json) -> bytes:
    return msgspec.json.encode({"custom_id": "a", "method": "POST", "url": url, "body": body})


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (openai_line("/v1/chat/completions", chat(seed=1)), "body.seed: Messages has no seed; leave it out"),
        (openai_line("/v1/responses", responses(input=[{"role": "user"}])), "body.input.0.content: Field required"),
        (openai_line("/v1/embeddings", {"model": "m"}), "url: cannot translate embeddings to Messages"),
        (openai_line("/v1/videos", {}), "url: '/v1/videos' is no endpoint"),
        (b'{"custom_id":"a"', "Invalid JSON"),
    ],
)
def test_a_line_that_messages_does_not_support_is_rejected_with_its_path(line: bytes, error: str) -> None:
    with pytest.raises(RequestError) as caught:
        anthropic_request_line(line)
    assert str(caught.value).startswith(error)


@pytest.mark.parametrize(
    ("params", "kind", "error"),
    [
        (PARAMS | {"speed": "fast"}, "chat_completions", "params.speed: batches do not support it"),
        (PARAMS, "messages", "url: the Batch API of OpenAI has no endpoint for Messages"),
        (PARAMS, "embeddings", "url: cannot translate Messages to embeddings"),
    ],
)
def test_a_line_that_openai_does_not_support_is_rejected_with_its_path(params: Json, kind: RowKind, error: str) -> None:
    with pytest.raises(RequestError) as caught:
        openai_request_line(msgspec.json.encode({"custom_id": "a", "params": params}), kind=kind)
    assert str(caught.value).startswith(error)
