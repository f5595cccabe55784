"""The Chat Completions handler writes translated calls and reads translated answers."""

from __future__ import annotations

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, Untranslatable, UpstreamError
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry.known_servers import OPENAI, VLLM
from tests.unit.providers.calls import COMPLETION, PARAMS, account, response, row

HANDLER = OpenAIHandler(OPENAI)


def test_the_call_goes_to_chat_completions_with_the_key_as_bearer() -> None:
    request = HANDLER.encode(account(timeout=7.0), row())
    assert request.url == "https://up.example/v1/chat/completions"
    assert request.timeout == 7.0
    assert request.headers == {"content-type": "application/json", "authorization": "Bearer sk-secret"}


def test_an_account_without_a_key_sends_none() -> None:
    assert HANDLER.encode(account(api_key=None), row()).headers == {"content-type": "application/json"}


def test_the_row_is_translated_for_the_target_and_asks_for_the_rows_model() -> None:
    params = msgspec.json.encode(PARAMS | {"model": "vllm/qwen", "top_k": 4})
    body = OpenAIHandler(VLLM).encode(account(), row(params, model="qwen")).body
    assert msgspec.json.decode(body) == {
        "model": "qwen",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 64,
        "top_k": 4,
    }


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            {"messages": [{"role": "tool", "content": "a"}]},
            "messages.0.role: Input should be one of the known values, not 'tool'",
        ),
        ({"foo": 1}, "foo: Extra inputs are not permitted"),
        ({"max_tokens": "1"}, "max_tokens: Input should be an integer, not a string"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "messages.0.content.0.type: Input should be one of the known values, not 'video'",
        ),
    ],
)
def test_a_wrong_row_is_refused_in_the_words_of_the_messages_api(change: dict[str, object], error: str) -> None:
    with pytest.raises(RequestError) as caught:
        HANDLER.encode(account(), row(msgspec.json.encode(PARAMS | change)))
    assert str(caught.value) == error
    assert caught.value.kind == "invalid_request_error"


def test_a_missing_field_is_named() -> None:
    params = msgspec.json.encode({name: value for name, value in PARAMS.items() if name != "max_tokens"})
    with pytest.raises(RequestError, match=r"^max_tokens: Field required$"):
        HANDLER.encode(account(), row(params))


@pytest.mark.parametrize(
    "params",
    [
        b"\xff",
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"\xff"}]}',
        (
            b'{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":'
            b'[{"type":"tool_use","id":"i","name":"n","input":{"a":"\xff"}}]},{"role":"user","content":"a"}]}'
        ),
        b'{"model":"m","max_tokens":1,"messages":[],"diagnostics":' + b"[" * 100_000,
    ],
)
def test_bytes_that_are_no_json_are_refused_and_do_not_crash(params: bytes) -> None:
    with pytest.raises(RequestError, match="Invalid JSON"):
        HANDLER.encode(account(), row(params))


def test_a_beta_has_no_effect_but_a_user_profile_is_refused() -> None:
    plain = HANDLER.encode(account(), row())
    assert HANDLER.encode(account(), row(headers={"anthropic-beta": "b", "anthropic-version": "2026-10-21"})) == plain
    with pytest.raises(Untranslatable, match=r"^anthropic-user-profile-id: only Anthropic has user profiles"):
        HANDLER.encode(account(), row(headers={"anthropic-user-profile-id": "profile_1"}))


def test_an_answer_is_read_as_a_message_of_one_line() -> None:
    pretty = msgspec.json.format(msgspec.json.encode(COMPLETION), indent=2)
    line = HANDLER.decode(row(), response(pretty))
    assert b"\n" not in line
    assert msgspec.json.decode(line)["content"] == [{"type": "text", "text": "Hi", "citations": None}]


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b"null", b'{"choices":[{}]}'])
def test_a_200_that_is_no_completion_is_an_error_that_shows_it(body: bytes) -> None:
    with pytest.raises(NoUpstreamAnswer, match="returned 200, but the body is not a Chat Completion") as caught:
        HANDLER.decode(row(), response(body))
    assert caught.value.retry_safe
    assert body.decode() in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"code": 429, "message": "slow down"}, "rate_limit_error", 429),
        ({"code": "server_error", "message": "down"}, "api_error", 500),
        ({"message": "down"}, "api_error", 500),
    ],
)
def test_an_error_that_comes_with_the_status_200_is_still_an_error(error: object, kind: str, status: int) -> None:
    # OpenRouter documents this for errors of the model behind it.
    with pytest.raises(UpstreamError) as caught:
        HANDLER.decode(row(), response({"error": error}))
    assert (caught.value.kind, caught.value.status) == (kind, status)


def test_an_error_of_the_provider_is_raised_as_such() -> None:
    body = {
        "error": {
            "message": "No such model.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
    }
    with pytest.raises(UpstreamError) as caught:
        HANDLER.decode(row(), response(body, status=404, x_request_id="req_9"))
    assert (caught.value.kind, caught.value.message, caught.value.request_id) == (
        "not_found_error",
        "No such model.",
        "req_9",
    )
