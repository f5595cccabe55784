"""The Bedrock handler: which operation runs a row, its body, its credentials, and its errors."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.dispatch.limits import outcome_of
from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, Untranslatable, UpstreamError
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.providers.handlers.bedrock import BedrockHandler
from batchgate.providers.responses.key_redaction import KeyRedactingHandler
from batchgate.providers.responses.usage_meter import UsageMeter
from tests.unit.providers import calls
from tests.unit.providers.calls import MESSAGE, Json, response

HOST = "https://bedrock-runtime.eu-west-1.amazonaws.com"
NOVA = "amazon.nova-lite-v1:0"
CLAUDE = "eu.anthropic.claude-sonnet-9-v1:0"
CREDENTIALS = '{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"the secret","SessionToken":"the token"}'
CHAT: Json = {"messages": [{"role": "user", "content": "Hello"}]}
BODIES: dict[RowKind, Json] = {
    "messages": CHAT | {"max_tokens": 64},
    "chat_completions": CHAT,
    "responses": {"input": "Hello"},
    "embeddings": {"input": "Hello"},
    "completions": {"prompt": "Hello"},
    "invoke_model": {"inputText": "a"},
}
CONVERSE: Json = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}], "guardrailConfig": {"trace": "x"}}
ANSWER: Json = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    "metrics": {"latencyMs": 9},
}
HANDLER = BedrockHandler(now=lambda: 1_700_000_000.0)


def account(**fields: Any) -> Account:
    return calls.account(**({"base_url": HOST, "region": "eu-west-1", "api_key": "bearer-key"} | fields))


def row(kind: RowKind, model: str = NOVA, body: Json | None = None, **fields: Any) -> RequestRow:
    """Make a row; its params have the model, as every row of a batch has."""
    params = msgspec.json.encode({"model": f"bedrock/{model}", **BODIES.get(kind, CONVERSE), **(body or {})})
    return RequestRow(**({"custom_id": "c-1", "params": params, "model": model, "headers": {}, "kind": kind} | fields))


def sent(found: RequestRow, **fields: Any) -> tuple[str, Json]:
    """Return the path and the body of a row's call."""
    request = HANDLER.encode(account(**fields), found)
    return request.url.removeprefix(HOST), msgspec.json.decode(request.body)


# ---------------------------------------------------------------- operations and bodies


@pytest.mark.parametrize("kind", ["chat_completions", "messages", "converse"])
def test_conversations_run_by_converse_without_the_model_in_the_body(kind: RowKind) -> None:
    path, body = sent(row(kind))
    assert path == "/model/amazon.nova-lite-v1:0/converse"
    assert body["messages"] == CONVERSE["messages"]
    assert "model" not in body


def test_responses_run_by_converse() -> None:
    path, body = sent(row("responses"))
    assert path.endswith("/converse")
    assert body == {"messages": CONVERSE["messages"]}


def test_chat_completions_of_claude_run_by_converse_too() -> None:
    assert sent(row("chat_completions", CLAUDE))[0] == f"/model/{CLAUDE}/converse"


def test_messages_for_claude_run_by_invoke_model_with_all_that_they_have() -> None:
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "o", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    body = {"messages": messages, "stream": False, "temperature": 0.5, "newer": 1}
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "one, two"}
    path, found = sent(row("messages", CLAUDE, body, headers=headers))
    assert path == f"/model/{CLAUDE}/invoke"
    assert found == {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["one", "two"],
        "max_tokens": 64,
        "messages": messages,
        "temperature": 0.5,
        "newer": 1,
    }


def test_rows_of_invoke_model_pass_as_they_are() -> None:
    assert sent(row("invoke_model", "amazon.titan-embed-v2:0")) == (
        "/model/amazon.titan-embed-v2:0/invoke",
        {"inputText": "a"},
    )
    own = {"anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["mine"], "max_tokens": 1, "messages": []}
    assert sent(row("invoke_model", CLAUDE, own))[1] == BODIES["invoke_model"] | own


def test_rows_of_converse_pass_as_they_are() -> None:
    assert sent(row("converse", CLAUDE))[1] == CONVERSE


def test_an_arn_is_one_part_of_the_path() -> None:
    arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-x"
    assert sent(row("converse", arn))[0] == f"/model/{arn.replace('/', '%2F')}/converse"


@pytest.mark.parametrize("kind", ["embeddings", "completions"])
def test_what_bedrock_has_only_in_a_models_own_format_is_refused(kind: RowKind) -> None:
    with pytest.raises(Untranslatable, match="only by InvokeModel, in the model's own format"):
        HANDLER.encode(account(), row(kind))


@pytest.mark.parametrize("model", [NOVA, CLAUDE])
@pytest.mark.parametrize("kind", ["messages", "converse", "invoke_model"])
def test_no_row_streams(kind: RowKind, model: str) -> None:
    with pytest.raises(RequestError, match="stream"):
        HANDLER.encode(account(), row(kind, model, {"stream": True}))


# ---------------------------------------------------------------- credentials


def test_a_bearer_key_is_sent_as_such_and_signs_nothing() -> None:
    request = HANDLER.encode(account(), row("converse"))
    assert request.headers == {"content-type": "application/json", "authorization": "Bearer bearer-key"}
    assert request.signed() is request


def test_credentials_sign_the_request_at_the_time_when_it_is_sent() -> None:
    time = [1_700_000_000.0]
    request = BedrockHandler(now=lambda: time[0]).encode(account(api_key=CREDENTIALS), row("converse"))
    assert "authorization" not in request.headers
    first = request.signed().headers
    time[0] += 3600
    second = request.signed().headers
    assert (first["x-amz-date"], second["x-amz-date"]) == ("20231114T221320Z", "20231114T231320Z")
    assert first["authorization"] != second["authorization"]
    assert first["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231114/eu-west-1/bedrock/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    )
    assert first["x-amz-security-token"] == "the token"


def test_no_repr_has_a_secret() -> None:
    request = HANDLER.encode(account(api_key=CREDENTIALS), row("converse"))
    for text in (repr(request), repr(request.signed())):
        assert "secret" not in text
        assert "the token" not in text


def test_json_without_credentials_is_an_error_that_does_not_quote_it() -> None:
    with pytest.raises(RequestError, match="should be a Bedrock API key, or the JSON") as caught:
        HANDLER.encode(account(api_key='{"SecretAccessKey":"hidden"}'), row("converse"))
    assert "hidden" not in str(caught.value)


def test_an_error_that_quotes_a_part_of_the_credentials_is_shown_without_it() -> None:
    handler = KeyRedactingHandler(HANDLER)
    handler.encode(account(api_key=CREDENTIALS), row("converse"))
    canonical = "The Canonical String should have been x-amz-security-token:the token"
    with pytest.raises(UpstreamError) as caught:
        handler.decode(row("converse"), response({"message": canonical}, 403))
    assert str(caught.value) == "The Canonical String should have been x-amz-security-token:[key]"


# ---------------------------------------------------------------- answers


def test_an_answer_of_converse_is_given_back_in_the_dialect_of_the_row() -> None:
    body = response(ANSWER)
    assert HANDLER.decode(row("converse"), body) is body.body
    completion = msgspec.json.decode(HANDLER.decode(row("chat_completions"), body))
    assert completion["choices"][0]["message"]["content"] == "Hi"
    assert completion["created"] == 1_700_000_000
    assert completion["model"] == NOVA
    message = msgspec.json.decode(HANDLER.decode(row("messages"), body))
    assert message["content"] == [{"type": "text", "text": "Hi", "citations": None}]
    assert UsageMeter().tokens_used(body) == 3


def test_the_message_of_a_claude_model_stays_as_it_is() -> None:
    body = response(MESSAGE)
    assert HANDLER.decode(row("messages", CLAUDE), body) is body.body


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
@pytest.mark.parametrize("kind", ["converse", "chat_completions"])
def test_an_answer_that_the_model_spoiled_is_asked_for_again(reason: str, kind: RowKind) -> None:
    with pytest.raises(NoUpstreamAnswer, match=reason) as caught:
        HANDLER.decode(row(kind), response(ANSWER | {"stopReason": reason}))
    assert caught.value.retry_safe


def test_a_200_without_an_output_is_an_error() -> None:
    with pytest.raises(NoUpstreamAnswer, match="the body is not a Converse answer"):
        HANDLER.decode(row("converse"), response({"stopReason": "end_turn"}))


def test_the_output_limit_counts_in_the_estimate() -> None:
    request = HANDLER.encode(account(), row("chat_completions", body={"max_tokens": 1000}))
    assert UsageMeter().estimate_tokens(request) == len(request.body) // 4 + 1000


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("exception", "status", "kind", "retried", "paused"),
    [
        ("ThrottlingException", 429, "rate_limit_error", True, False),
        ("ThrottlingException", 400, "rate_limit_error", True, False),
        ("ModelNotReadyException", 429, "rate_limit_error", True, False),
        ("ModelTimeoutException", 408, "timeout_error", True, False),
        ("ServiceUnavailableException", 503, "overloaded_error", True, False),
        ("InternalServerException", 500, "api_error", True, False),
        ("ValidationException", 400, "invalid_request_error", False, False),
        ("ResourceNotFoundException", 404, "not_found_error", False, False),
        ("AccessDeniedException", 403, "permission_error", False, True),
        ("UnrecognizedClientException", 403, "authentication_error", False, True),
        ("ExpiredTokenException", 403, "authentication_error", False, True),
        ("InvalidSignatureException", 403, "authentication_error", False, True),
    ],
)
def test_an_exception_is_an_error_of_its_kind(
    exception: str, status: int, kind: str, retried: bool, paused: bool
) -> None:
    named = response({"message": "No."}, status, x_amzn_errortype=f"{exception}:http://x/", x_amzn_requestid="r-1")
    with pytest.raises(UpstreamError) as caught:
        HANDLER.decode(row("converse"), named)
    error = caught.value
    assert (error.kind, error.retry_safe, outcome_of(error).denied) == (kind, retried, paused)
    assert (error.message, error.request_id, error.provider_type) == ("No.", "r-1", exception)
    with pytest.raises(UpstreamError) as in_body:
        HANDLER.decode(row("converse"), response({"message": "No.", "__type": f"com.amazon#{exception}"}, status))
    assert in_body.value.kind == kind


@pytest.mark.parametrize(("original", "retried"), [(500, True), (503, True), (400, False)])
def test_an_error_of_the_model_is_retried_if_its_server_failed(original: int, retried: bool) -> None:
    body = {"message": "The model failed.", "originalStatusCode": original, "resourceName": NOVA}
    with pytest.raises(UpstreamError) as caught:
        HANDLER.decode(row("converse"), response(body, 424, x_amzn_errortype="ModelErrorException"))
    assert caught.value.retry_safe is retried
