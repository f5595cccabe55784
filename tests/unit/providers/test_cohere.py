"""The handler for Cohere: its compatible API for chat, its own one for embeddings and for rows of its own."""

from __future__ import annotations

from base64 import b64decode
from struct import pack
from typing import Any, Final

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, Untranslatable, UpstreamError
from batchgate.engine.model.provider_call import RequestRow, RowKind
from batchgate.engine.model.usage import Usage
from batchgate.providers.dialects.line_translator import DialectLineTranslator
from batchgate.providers.handlers.cohere import CohereHandler
from batchgate.providers.registry.known_servers import COHERE
from batchgate.providers.responses.usage_meter import UsageMeter
from tests.unit.providers.calls import COMPLETION, account, response, row

HANDLER: Final = CohereHandler(COHERE, now=lambda: 1_700_000_000)
URL: Final = "https://api.cohere.com"
TURNS: Final = [{"role": "user", "content": "Hello"}]
CHAT_ANSWER: Final = {
    "id": "c-1",
    "finish_reason": "COMPLETE",
    "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
    "usage": {
        "billed_units": {"input_tokens": 2.0, "output_tokens": 3.0},
        "tokens": {"input_tokens": 12.0, "output_tokens": 3.0},
        "cached_tokens": 4.0,
    },
}
EMBED_ANSWER: Final = {
    "id": "e-1",
    "embeddings": {"float": [[0.5, -1.25], [1, 2]]},
    "texts": ["a", "b"],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 7.0}},
    "response_type": "embeddings_by_type",
}


def sent(kind: RowKind, /, embedding_input_type: str = "search_document", **body: Any) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of the call for a row."""
    request = HANDLER.encode(
        account(base_url=URL, embedding_input_type=embedding_input_type), cohere_row(kind, {"model": "model"} | body)
    )
    assert request.headers["authorization"] == "Bearer sk-secret"
    return request.url.removeprefix(URL), msgspec.json.decode(request.body)


def cohere_row(kind: RowKind, body: dict[str, Any]) -> RequestRow:
    return row(msgspec.json.encode(body), kind=kind)


@pytest.mark.parametrize("base_url", [URL, f"{URL}/compatibility/v1"])
def test_chat_requests_pass_byte_for_byte_to_the_compatible_api(base_url: str) -> None:
    body = b'{ "model":"model", "messages":[{"role":"user","content":"Hello"}], "seed":1.50 }'
    request = HANDLER.encode(account(base_url=base_url), row(body, kind="chat_completions"))
    assert (request.url, request.body) == (f"{URL}/compatibility/v1/chat/completions", body)


@pytest.mark.parametrize(("kind", "path"), [("cohere_chat", "/v2/chat"), ("cohere_embed", "/v2/embed")])
@pytest.mark.parametrize("base_url", [URL, f"{URL}/compatibility/v1"])
def test_rows_of_coheres_own_pass_byte_for_byte(kind: RowKind, path: str, base_url: str) -> None:
    body = b'{ "model":"model", "stream":false, "of_tomorrow":[1.50] }'
    request = HANDLER.encode(account(base_url=base_url), row(body, kind=kind))
    assert (request.url, request.body) == (URL + path, body)


@pytest.mark.parametrize("kind", ["cohere_chat", "cohere_embed"])
def test_a_row_of_coheres_own_that_streams_is_refused(kind: RowKind) -> None:
    with pytest.raises(Untranslatable, match=r"^stream: batches do not stream"):
        HANDLER.encode(account(base_url=URL), cohere_row(kind, {"model": "model", "stream": True}))


def test_a_schema_of_the_answer_is_that_of_a_json_object() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    output = {"format": {"type": "json_schema", "schema": schema}}
    _, body = sent("messages", max_tokens=9, messages=TURNS, output_config=output)
    assert body["response_format"] == {"type": "json_object", "schema": schema}
    text = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    assert sent("responses", input="Hello", text=text)[1]["response_format"] == body["response_format"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tool_choice", {"type": "any"}),
        ("thinking", {"type": "enabled", "budget_tokens": 1024}),
        ("top_k", 3),
        ("metadata", {"user_id": "u"}),
        ("output_config", {"effort": "low"}),
        ("stop_sequences", ["1", "2", "3", "4", "5", "6"]),
    ],
)
def test_what_the_compatible_api_does_not_have_is_refused_by_name(field: str, value: object) -> None:
    tools = [{"name": "t", "input_schema": {"type": "object"}}]
    params = {"model": "model", "max_tokens": 9, "messages": TURNS, "tools": tools, field: value}
    with pytest.raises(Untranslatable, match=f"^{field}.*cohere"):
        HANDLER.encode(account(base_url=URL), cohere_row("messages", params))


def test_embeddings_run_by_coheres_own_api_for_what_the_account_says() -> None:
    expected = {"model": "model", "input_type": "search_document", "texts": ["a"], "embedding_types": ["float"]}
    assert sent("embeddings", input="a") == ("/v2/embed", expected)
    path, body = sent("embeddings", "search_query", input=["a", "b"], dimensions=256, encoding_format="base64")
    assert (path, body["texts"], body["output_dimension"]) == ("/v2/embed", ["a", "b"], 256)
    assert body["input_type"] == "search_query"
    gemini = sent("embed_content", content={"parts": [{"text": "a"}]}, outputDimensionality=8)
    assert gemini == ("/v2/embed", expected | {"output_dimension": 8})


@pytest.mark.parametrize("given", [[1, 2], [[1, 2]], 5])
def test_tokens_to_embed_are_refused(given: object) -> None:
    with pytest.raises(Untranslatable, match=r"^input: should be a text or a list of texts"):
        sent("embeddings", input=given)


def test_embeddings_come_back_in_the_format_of_the_request() -> None:
    asked = cohere_row("embeddings", {"model": "model", "input": ["a", "b"]})
    answer = msgspec.json.decode(HANDLER.decode(asked, response(EMBED_ANSWER)))
    assert answer["data"][0] == {"index": 0, "embedding": [0.5, -1.25], "object": "embedding"}
    assert [item["index"] for item in answer["data"]] == [0, 1]
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    asked = cohere_row("embeddings", {"model": "model", "input": ["a", "b"], "encoding_format": "base64"})
    answer = msgspec.json.decode(HANDLER.decode(asked, response(EMBED_ANSWER)))
    assert b64decode(answer["data"][0]["embedding"]) == pack("<2f", 0.5, -1.25)
    answer = msgspec.json.decode(HANDLER.decode(cohere_row("embed_content", {}), response(EMBED_ANSWER)))
    assert answer["embedding"]["values"] == [0.5, -1.25]
    assert answer["usageMetadata"]["promptTokenCount"] == 7


@pytest.mark.parametrize(("kind", "answer"), [("cohere_chat", CHAT_ANSWER), ("cohere_embed", EMBED_ANSWER)])
def test_answers_to_rows_of_coheres_own_pass_byte_for_byte(kind: RowKind, answer: dict[str, Any]) -> None:
    found = response(answer)
    assert HANDLER.decode(row(kind=kind), found) is found.body


def test_chat_answers_of_the_compatible_api_pass_byte_for_byte() -> None:
    found = response(COMPLETION)
    assert HANDLER.decode(row(kind="chat_completions"), found) is found.body


def test_tokens_are_counted_as_cohere_counts_them_or_else_as_it_bills_them() -> None:
    usage = DialectLineTranslator().usage
    billed = {"usage": {"billed_units": {"input_tokens": 2.0, "output_tokens": 3.0}}}
    chat, embed = msgspec.json.encode(CHAT_ANSWER), msgspec.json.encode(EMBED_ANSWER)
    assert usage("cohere_chat", chat) == Usage(input_tokens=12, cached_tokens=4, output_tokens=3)
    assert usage("cohere_chat", msgspec.json.encode(billed)) == Usage(input_tokens=2, output_tokens=3)
    assert usage("cohere_embed", embed) == Usage(input_tokens=7)
    assert usage("cohere_embed", b'{"embeddings":{},"meta":"none"}') is None
    assert UsageMeter().tokens_used(response(CHAT_ANSWER)) == 15
    assert UsageMeter().tokens_used(response(EMBED_ANSWER)) == 7


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
def test_an_answer_that_cohere_did_not_finish_is_an_error_that_is_retried(reason: str) -> None:
    with pytest.raises(NoUpstreamAnswer, match=f"incomplete \\(finish_reason '{reason}'\\)") as found:
        HANDLER.decode(row(kind="cohere_chat"), response(CHAT_ANSWER | {"finish_reason": reason}))
    assert found.value.retry_safe


@pytest.mark.parametrize("reason", ["COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL"])
def test_every_other_end_is_an_answer(reason: str) -> None:
    found = response(CHAT_ANSWER | {"finish_reason": reason})
    assert HANDLER.decode(row(kind="cohere_chat"), found) == found.body


@pytest.mark.parametrize(("kind", "body"), [("cohere_chat", {"message": None}), ("cohere_embed", {"id": "e"})])
def test_a_body_that_is_no_answer_is_an_error(kind: RowKind, body: dict[str, Any]) -> None:
    with pytest.raises(NoUpstreamAnswer, match="the body is not"):
        HANDLER.decode(row(kind=kind), response(body))


MONTHLY: Final = "You are using a Trial key, which is limited to 1000 API calls / month. You can upgrade it."
MINUTE: Final = "You are using a Trial key, which is limited to 20 API calls / minute. Please wait and try again later."


@pytest.mark.parametrize(
    ("status", "message", "kind", "retry_safe"),
    [
        (400, "invalid request: message must be at least 1 token long", "invalid_request_error", False),
        (401, "invalid api token", "authentication_error", False),
        (402, "Please add or update your payment method", "billing_error", False),
        (403, "forbidden", "permission_error", False),
        (404, "model 'x' not found", "not_found_error", False),
        (422, "unprocessable", "invalid_request_error", False),
        (429, MINUTE, "rate_limit_error", True),
        (429, MONTHLY, "billing_error", False),
        (429, "Too many requests", "rate_limit_error", True),
        (498, "Request was blocked: invalid token", "invalid_request_error", False),
        (499, "request was cancelled", "timeout_error", True),
        (500, "internal server error", "api_error", True),
        (501, "not implemented", "invalid_request_error", False),
        (503, "unavailable", "overloaded_error", True),
        (504, "timeout", "timeout_error", True),
    ],
)
@pytest.mark.parametrize("row_kind", ["cohere_chat", "cohere_embed", "chat_completions", "embeddings"])
def test_errors_of_cohere_are_classed_by_their_status_and_words(
    status: int, message: str, kind: str, retry_safe: bool, row_kind: RowKind
) -> None:
    with pytest.raises(UpstreamError) as found:
        HANDLER.decode(row(kind=row_kind), response({"id": "x", "message": message}, status))
    assert (found.value.kind, found.value.retry_safe, found.value.message) == (kind, retry_safe, message)


@pytest.mark.parametrize("kind", ["completions", "invoke_model"])
def test_what_cohere_does_not_serve_is_refused(kind: RowKind) -> None:
    with pytest.raises(RequestError, match="cohere is not known to support"):
        sent(kind, prompt="a")
