"""Handlers send rows of supported kinds unchanged, and translate or reject the others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, Untranslatable, UpstreamError
from batchgate.engine.model.provider_call import RequestRow, RowKind
from batchgate.engine.ports.provider import ProviderHandler
from batchgate.providers.handlers.anthropic import TRANSLATED_VERSION, AnthropicHandler
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry.known_servers import CEREBRAS, MISTRAL, OPENAI, SGLANG, VLLM
from tests.unit.providers.calls import COMPLETION, MESSAGE, account, response, row

Json = dict[str, Any]

NOW = 1_700_000_000
ANTHROPIC = AnthropicHandler(now=lambda: NOW)
TURNS: Json = {"messages": [{"role": "user", "content": "Hello"}]}
RESPONSE: Json = {"id": "resp_1", "object": "response", "model": "model", "status": "completed", "output": []}
EMBEDDINGS: Json = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}
CONTINUED: Json = {"id": "cmpl-1", "object": "text_completion", "choices": [{"text": "a"}]}


def openai_row(kind: RowKind, body: bytes | None = None, **fields: Any) -> RequestRow:
    bodies: dict[RowKind, Json] = {
        "chat_completions": TURNS,
        "responses": {"input": "Hello"},
        "embeddings": {"input": "Hello"},
        "completions": {"prompt": "Hello"},
    }
    written = msgspec.json.encode({"model": "model"} | bodies[kind] | fields)
    return row(written if body is None else body, kind=kind)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("chat_completions", "/chat/completions"),
        ("responses", "/responses"),
        ("embeddings", "/embeddings"),
        ("completions", "/completions"),
    ],
)
def test_a_row_that_the_server_takes_passes_byte_for_byte_at_its_path(kind: RowKind, path: str) -> None:
    body = b'{ "model": "model",\t"of_tomorrow": [1.50], "max_tokens": 0 }'
    request = OpenAIHandler(OPENAI).encode(account(), openai_row(kind, body))
    assert (request.url, request.body) == (f"https://up.example/v1{path}", body)


def test_only_the_model_is_written_anew_where_it_carried_an_accounts_prefix() -> None:
    body = b'{"seed": 1.50, "model": "a/model", "of_tomorrow": {"b": 1, "a": 2}}'
    request = OpenAIHandler(OPENAI).encode(account(), openai_row("chat_completions", body))
    assert request.body == b'{"seed":1.50,"model":"model","of_tomorrow":{"b": 1, "a": 2}}'


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"model":"model","stream":true}', "stream: batches do not stream"),
        (b"{}", "model: Field required"),
        (b"{", "Invalid JSON"),
    ],
)
def test_a_row_that_passes_is_still_a_request_of_a_batch(body: bytes, error: str) -> None:
    with pytest.raises(RequestError) as caught:
        OpenAIHandler(OPENAI).encode(account(), openai_row("chat_completions", body))
    assert str(caught.value).startswith(error)


def test_responses_go_as_chat_completions_to_a_server_without_them() -> None:
    request = OpenAIHandler(SGLANG).encode(account(), openai_row("responses", max_output_tokens=9))
    assert request.url == "https://up.example/v1/chat/completions"
    assert msgspec.json.decode(request.body) == {"model": "model", "max_tokens": 9} | TURNS


def test_the_answer_to_a_translated_response_row_is_a_response_that_repeats_it() -> None:
    asked = openai_row("responses", temperature=0.5)
    answer = OpenAIHandler(SGLANG, now=lambda: NOW).decode(asked, response(COMPLETION | {"created": None}))
    document = msgspec.json.decode(answer)
    assert (document["object"], document["temperature"], document["created_at"]) == ("response", 0.5, NOW)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("chat_completions", COMPLETION),
        ("responses", RESPONSE),
        ("embeddings", EMBEDDINGS),
        ("completions", CONTINUED),
    ],
)
def test_the_answer_to_a_row_that_passed_stays_as_it_came_but_in_one_line(kind: RowKind, answer: Json) -> None:
    pretty = msgspec.json.format(msgspec.json.encode(answer | {"of_tomorrow": 1}), indent=2)
    line = OpenAIHandler(OPENAI).decode(openai_row(kind), response(pretty))
    assert line == pretty.replace(b"\n", b" ")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("chat_completions", "a Chat Completion"),
        ("responses", "a Response"),
        ("embeddings", "embeddings"),
        ("completions", "a completion"),
    ],
)
def test_a_200_that_is_no_answer_of_its_kind_is_an_error(kind: RowKind, name: str) -> None:
    with pytest.raises(NoUpstreamAnswer, match=f"returned 200, but the body is not {name} "):
        OpenAIHandler(OPENAI).decode(openai_row(kind), response(b'{"hello":"there"}'))


def test_a_completion_that_the_server_broke_off_is_asked_for_again() -> None:
    # OpenRouter, vLLM and SGLang say so in finish_reason, with the status 200.
    broken = COMPLETION | {"choices": [COMPLETION["choices"][0] | {"finish_reason": "error"}]}
    with pytest.raises(NoUpstreamAnswer, match="is incomplete") as caught:
        OpenAIHandler(OPENAI).decode(openai_row("chat_completions"), response(broken))
    assert caught.value.retry_safe


@pytest.mark.parametrize("kind", ["embeddings", "completions"])
@pytest.mark.parametrize(
    ("handler", "words"),
    [(ANTHROPIC, "to Messages; choose a provider"), (OpenAIHandler(CEREBRAS), "cerebras is not known to support")],
)
def test_what_a_server_does_not_serve_and_nobody_can_translate_is_refused(
    kind: RowKind, handler: ProviderHandler, words: str
) -> None:
    with pytest.raises(Untranslatable, match=words):
        handler.encode(account(), openai_row(kind))


@pytest.mark.parametrize("kind", ["chat_completions", "responses"])
def test_conversations_go_to_anthropic_as_messages(kind: RowKind) -> None:
    request = ANTHROPIC.encode(account(base_url="https://up.example"), openai_row(kind))
    assert request.url == "https://up.example/v1/messages"
    assert request.headers["anthropic-version"] == TRANSLATED_VERSION
    assert msgspec.json.decode(request.body).items() >= ({"model": "model"} | TURNS).items()


@pytest.mark.parametrize(("kind", "name"), [("chat_completions", "chat.completion"), ("responses", "response")])
def test_a_message_is_given_back_in_the_dialect_of_the_row(kind: RowKind, name: str) -> None:
    document = msgspec.json.decode(ANTHROPIC.decode(openai_row(kind), response(MESSAGE)))
    assert (document["object"], document["id"], document["model"]) == (name, "msg_1", "model")
    assert document.get("created", document.get("created_at")) == NOW


def test_a_200_of_anthropic_that_is_no_message_is_an_error_whatever_the_row() -> None:
    with pytest.raises(UpstreamError, match="but the body is not a Message"):
        ANTHROPIC.decode(openai_row("chat_completions"), response(b'{"type":"message","role":"assistant"}'))


KIMI = (
    b'{"model":"model","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":'
    b'"functions.f:0","type":"function","function":{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":'
    b'"functions.f:0","content":"x"},{"role":"user","content":""}]}'
)


def test_a_chat_row_is_fitted_to_anthropic_and_unchanged_for_other_servers() -> None:
    kimi = row(KIMI, kind="chat_completions")
    sent = msgspec.json.decode(AnthropicHandler().encode(account(), kimi).body)["messages"]
    [used], [result] = sent[1]["content"], sent[2]["content"]
    assert (used["id"], result["tool_use_id"]) == ("functions_f_0", "functions_f_0")
    assert used["input"] == {"INVALID_JSON": "{"}
    assert len(sent) == 3
    for server in (OPENAI, VLLM, MISTRAL):
        assert OpenAIHandler(server).encode(account(), kimi).body == KIMI


def test_a_messages_row_is_unchanged_for_anthropic_however_odd_it_is() -> None:
    params = b'{"model":"model","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":" "}]}]}'
    assert AnthropicHandler().encode(account(), row(params)).body == params
