"""The Anthropic handler passes Messages rows and answers on unchanged."""

from __future__ import annotations

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, UpstreamError
from batchgate.providers.handlers.anthropic import AnthropicHandler
from tests.unit.providers.calls import MESSAGE, account, response, row

HANDLER = AnthropicHandler()
ODD = (
    b'{ "messages":[{"role":"user","content":"\\u00fc"}],\n "model" : "model","max_tokens":1.0,"new_field":[1, 2.50] }'
)


def test_the_call_goes_to_messages_with_the_key_and_the_version() -> None:
    request = HANDLER.encode(account(base_url="https://api.example", timeout=7.0), row())
    assert request.url == "https://api.example/v1/messages"
    assert request.timeout == 7.0
    assert request.headers == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-secret",
    }


def test_an_account_without_a_key_sends_none() -> None:
    assert "x-api-key" not in HANDLER.encode(account(api_key=None), row()).headers


def test_headers_of_the_create_call_go_along_when_they_are_anthropics() -> None:
    sent = {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "output-300k-2026-03-24",
        "anthropic-user-profile-id": "profile_1",
    }
    headers = HANDLER.encode(account(), row(headers=sent | {"cookie": "c", "anthropic-workspace-id": "w"})).headers
    assert headers == sent | {"content-type": "application/json", "x-api-key": "sk-secret"}


def test_params_pass_byte_for_byte_even_with_fields_that_are_not_known() -> None:
    assert HANDLER.encode(account(), row(ODD)).body is ODD


def test_a_prefix_is_taken_off_the_model_and_nothing_else_changes() -> None:
    params = ODD.replace(b'"model" : "model"', b'"model" : "anthropic/model"')
    body = HANDLER.encode(account(), row(params)).body
    assert msgspec.json.decode(body, type=dict[str, msgspec.Raw]).keys() == {
        "messages",
        "model",
        "max_tokens",
        "new_field",
    }
    assert b'"model":"model"' in body
    for kept in (b'[{"role":"user","content":"\\u00fc"}]', b'"max_tokens":1.0', b"[1, 2.50]"):
        assert kept in body


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (b'{"model":"m","stream":true}', "stream: batches do not stream; leave it out or set it to false"),
        (
            b'{"model":"m","max_tokens":0}',
            "max_tokens: 0 only warms the cache and returns no answer; it should be at least 1",
        ),
        (b'{"max_tokens":1}', "model: Field required"),
        (b"[]", "Input should be an object, not an array"),
        (b'{"model":', "Invalid JSON: Input data was truncated"),
        (b'{"model":"other","\xff":1}', "Invalid JSON: a string is not UTF-8"),
    ],
)
def test_what_no_batch_can_hold_is_refused_before_it_is_sent(params: bytes, error: str) -> None:
    with pytest.raises(RequestError) as caught:
        HANDLER.encode(account(), row(params))
    assert str(caught.value) == error
    assert caught.value.kind == "invalid_request_error"


def test_stream_false_is_sent_as_it_is() -> None:
    params = b'{"model":"model","stream":false,"max_tokens":1,"messages":[]}'
    assert HANDLER.encode(account(), row(params)).body is params


def test_a_message_is_kept_byte_for_byte() -> None:
    body = msgspec.json.encode(MESSAGE | {"newer": {"x": 1.50}})
    assert HANDLER.decode(row(), response(body)) is body


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_message_of_many_lines_becomes_one(line_end: bytes) -> None:
    pretty = msgspec.json.format(msgspec.json.encode(MESSAGE | {"text": "a\nb"}), indent=2).replace(b"\n", line_end)
    line = HANDLER.decode(row(), response(pretty + line_end))
    assert b"\n" not in line
    assert b"\r" not in line
    assert msgspec.json.decode(line) == MESSAGE | {"text": "a\nb"}


@pytest.mark.parametrize(
    "body",
    [b"<html>hello</html>", b"", b"[]", b'{"type":"error"}', b'{"type":"message","role":"assistant"}', b'"message"'],
)
def test_a_200_that_is_no_message_is_an_error_that_shows_it(body: bytes) -> None:
    with pytest.raises(NoUpstreamAnswer, match="returned 200, but the body is not a Message") as caught:
        HANDLER.decode(row(), response(body))
    assert caught.value.status == 200
    assert body.decode() in str(caught.value)


def test_an_error_of_the_provider_is_raised_as_such() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
    with pytest.raises(UpstreamError) as caught:
        HANDLER.decode(row(), response(body, status=529))
    assert (caught.value.kind, caught.value.message, caught.value.request_id) == (
        "overloaded_error",
        "Overloaded",
        "req_1",
    )
