"""The usage of every kind of answer is counted, and lines of batches are translated to the requested dialect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from batchgate.engine.model.batch import Batch, BatchOptions, Dialect
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.usage import Counts, Usage
from batchgate.providers.dialects.anthropic_rows import AnthropicRows
from batchgate.providers.dialects.line_translator import DialectLineTranslator
from batchgate.providers.dialects.openai_rows import OpenAIRows
from batchgate.providers.dialects.translation import KIND_NAMES
from tests.unit.dialects.openai_rows import USER, Json, chat, completion, message

TRANSLATOR = DialectLineTranslator()
ENDED = 1_700_000_001


def batch(dialect: Dialect, kind: RowKind, model: str | None = None) -> Batch:
    return Batch(
        key=1,
        id="batch_1",
        workspace="w",
        dialect=dialect,
        options=BatchOptions(kind=kind, model=model),
        provider="p",
        headers={},
        status="ended",
        counts=Counts(total=1),
        repeated=0,
        created_at=(ENDED - 1) * 1_000_000,
        expires_at=2 * ENDED * 1_000_000,
        cancel_initiated_at=None,
        ended_at=ENDED * 1_000_000 + 5,
        archived_at=None,
        fingerprint=b"",
        input_blob=None,
        results_blob=None,
        results_size=None,
    )


def usage(kind: RowKind, answer: Any) -> Usage | None:
    return TRANSLATOR.usage(kind, msgspec.json.encode(answer))


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("kind", "token_count", "expected"),
    [
        (
            "messages",
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
                "cache_read_input_tokens": 100,
                "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 3},
                "service_tier": "batch",
            },
            Usage(
                input_tokens=111,
                cached_tokens=100,
                cache_write_tokens=10,
                long_cache_write_tokens=6,
                output_tokens=7,
                reasoning_tokens=3,
            ),
        ),
        (
            "chat_completions",
            {
                "prompt_tokens": 9,
                "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 4},
            },
            Usage(input_tokens=9, cached_tokens=2, cache_write_tokens=4, output_tokens=7),
        ),
        (
            "messages",
            {"input_tokens": 1, "cache_read_input_tokens": None, "output_tokens": 2},
            Usage(input_tokens=1, output_tokens=2),
        ),
        (
            "chat_completions",
            {
                "prompt_tokens": 9,
                "completion_tokens": 7,
                "total_tokens": 16,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(input_tokens=9, cached_tokens=4, output_tokens=7, reasoning_tokens=5),
        ),
        (
            "chat_completions",  # of xAI, which counts reasoning beside the completion
            {
                "prompt_tokens": 9,
                "completion_tokens": 7,
                "total_tokens": 21,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(input_tokens=9, output_tokens=12, reasoning_tokens=5),
        ),
        (
            "chat_completions",
            {"prompt_tokens": 9, "completion_tokens": 7, "prompt_tokens_details": None},
            Usage(input_tokens=9, output_tokens=7),
        ),
        (
            "responses",
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(input_tokens=9, cached_tokens=4, output_tokens=7, reasoning_tokens=5),
        ),
        ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Usage(input_tokens=8)),
        ("completions", {"prompt_tokens": 5, "completion_tokens": 7}, Usage(input_tokens=5, output_tokens=7)),
    ],
)
def test_the_tokens_of_an_answer_are_counted(kind: RowKind, token_count: Json, expected: Usage) -> None:
    assert usage(kind, {"id": "x", "usage": token_count, "content": []}) == expected


@pytest.mark.parametrize("wrong", [b"1e999", b"-1", b"true", b'"many"', b"[1]", b"10000000000000"])
def test_a_wrong_count_costs_no_other(wrong: bytes) -> None:
    answer = b'{"usage":{"prompt_tokens":%s,"completion_tokens":7}}' % wrong
    assert TRANSLATOR.usage("chat_completions", answer) == Usage(output_tokens=7)


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"usage": None},
        {"usage": {}},
        {"usage": {"prompt_tokens": "many", "input_tokens": -1}},
        {"usage": [1]},
        [],
        1,
    ],
)
def test_an_answer_without_valid_usage_has_no_usage(kind: RowKind, answer: Any) -> None:
    assert usage(kind, answer) is None


@given(answer=st.binary(max_size=50))
def test_bytes_that_are_not_an_answer_have_no_usage(answer: bytes) -> None:
    assert all(TRANSLATOR.usage(kind, answer) is None for kind in KIND_NAMES)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_absurd_numbers_are_not_added_up(kind: RowKind) -> None:
    token_count = {"input_tokens": 10**40, "prompt_tokens": 10**40, "output_tokens": -1, "completion_tokens": "1e40"}
    assert usage(kind, {"usage": token_count}) is None


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (9.0, 9),
        (8.2, 9),
        ("9", 9),
        ("8.5", 9),
        (" 9 ", 9),
        (None, 0),
        ("nine", 0),
        ([9], 0),
        (True, 0),
        ({}, 0),
        (-9, 0),
    ],
)
@pytest.mark.parametrize(
    ("kind", "name"),
    [("messages", "input_tokens"), ("responses", "input_tokens"), ("chat_completions", "prompt_tokens")],
)
def test_counts_that_are_fractions_or_texts_are_read_and_wrong_ones_do_not_cost_the_others(
    kind: RowKind, name: str, written: object, count: int
) -> None:
    output = "completion_tokens" if kind == "chat_completions" else "output_tokens"
    details = {f"{output}_details": "none", f"{name}_details": {"cached_tokens": written}}
    expected = Usage(input_tokens=count, cached_tokens=0 if kind == "messages" else count, output_tokens=7)
    assert usage(kind, {"usage": {name: written, output: 7} | details}) == expected


# ---------------------------------------------------------------- requests

ANTHROPIC_LINE = b'{"custom_id":"a","params":{ "max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}}\n'


def openai_line(body: Json, url: str = "/v1/chat/completions", custom_id: str = 'a "b"') -> bytes:
    line = {"custom_id": custom_id, "method": "POST", "url": url, "body": body}
    return msgspec.json.encode(line) + b"\n"


@pytest.mark.parametrize("line", [ANTHROPIC_LINE, b"anything\n"])
def test_a_line_in_its_own_dialect_stays_what_it_is(line: bytes) -> None:
    for own in (batch("anthropic", "messages", "m"), batch("openai", "responses", "m")):
        assert TRANSLATOR.request_line(own, line, own.dialect) == line
        assert TRANSLATOR.result_line(own, line, own.dialect) == line


def test_a_request_of_messages_is_one_of_chat_completions_with_the_model_of_its_batch() -> None:
    line = TRANSLATOR.request_line(batch("anthropic", "messages", "m"), ANTHROPIC_LINE, "openai")
    assert msgspec.json.decode(line) == {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "max_completion_tokens": 9, "messages": [USER]},
    }


@pytest.mark.parametrize(
    ("kind", "url", "body"),
    [
        ("chat_completions", "/v1/chat/completions", {"messages": [USER], "max_completion_tokens": 9}),
        ("responses", "/v1/responses", {"input": "Hello", "max_output_tokens": 9}),
    ],
)
def test_a_conversation_is_one_of_messages_with_the_model_of_its_batch(kind: RowKind, url: str, body: Json) -> None:
    line = TRANSLATOR.request_line(batch("openai", kind, "m"), openai_line(body, url), "anthropic")
    assert msgspec.json.decode(line) == {
        "custom_id": 'a "b"',
        "params": {"model": "m", "max_tokens": 9, "messages": [USER]},
    }


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [
        ("chat_completions", openai_line(chat(seed=1)), "body.seed: Messages has no seed; leave it out"),
        ("embeddings", openai_line({"model": "m"}, "/v1/embeddings"), "url: cannot translate embeddings to"),
        ("chat_completions", openai_line({"messages": []}), "body.model: Field required"),
        ("chat_completions", openai_line(chat())[:-20] + b"\n", "Invalid JSON"),
    ],
)
def test_a_request_that_messages_does_not_support_becomes_an_error_line(
    kind: RowKind, line: bytes, message: str
) -> None:
    translated = msgspec.json.decode(TRANSLATOR.request_line(batch("openai", kind), line, "anthropic"))
    assert (translated.keys(), translated["custom_id"]) == ({"custom_id", "error"}, 'a "b"')
    assert translated["error"]["type"] == "invalid_request_error"
    assert translated["error"]["message"].startswith(message)


def test_params_that_openai_does_not_support_become_an_error_line_that_cannot_be_sent() -> None:
    odd = ANTHROPIC_LINE.replace(b'"max_tokens":9', b'"model":"m","speed":"fast","max_tokens":9')
    line = TRANSLATOR.request_line(batch("anthropic", "messages"), odd, "openai")
    translated = msgspec.json.decode(line)
    assert translated["custom_id"] == "a"
    assert translated["error"].pop("message").startswith("params.speed: batches do not support it")
    assert translated["error"] == {"type": "invalid_request_error", "param": "params.speed", "code": "untranslatable"}
    with pytest.raises(RequestError):
        OpenAIRows().read(line, "m")


# ---------------------------------------------------------------- results


def test_a_message_is_a_completion_of_the_time_at_which_its_batch_ended() -> None:
    line = AnthropicRows().succeeded_line("a", msgspec.json.encode(message()), cost=1_000_000_072)
    ended = batch("anthropic", "messages")
    translated = msgspec.json.decode(TRANSLATOR.result_line(ended, line, "openai"))
    assert (translated["response"]["body"]["created"], translated["cost_usd"]) == (ENDED, 1.000000072)
    running = structs.replace(ended, ended_at=None)
    translated = msgspec.json.decode(TRANSLATOR.result_line(running, line, "openai"))
    assert translated["response"]["body"]["created"] == ENDED - 1


def test_an_answer_of_openai_is_read_as_the_kind_of_its_batch() -> None:
    line = OpenAIRows().succeeded_line("a", msgspec.json.encode(completion()), cost=0)
    translated = msgspec.json.decode(TRANSLATOR.result_line(batch("openai", "chat_completions"), line, "anthropic"))
    assert (translated["result"]["type"], translated["result"]["message"]["type"]) == ("succeeded", "message")
    assert translated["cost_usd"] == 0
    translated = msgspec.json.decode(TRANSLATOR.result_line(batch("openai", "embeddings"), line, "anthropic"))
    assert translated["result"]["type"] == "errored"


@given(
    custom_id=st.text(st.characters(codec="utf-8")),
    body=st.dictionaries(st.text(max_size=5), st.integers() | st.text()),
)
def test_no_line_of_a_batch_can_break_the_reading(custom_id: str, body: Json) -> None:
    for kind in ("chat_completions", "responses", "embeddings", "completions"):
        own = batch("openai", kind)
        request = TRANSLATOR.request_line(own, openai_line(body, custom_id=custom_id), "anthropic")
        result = TRANSLATOR.result_line(
            own, OpenAIRows().succeeded_line(custom_id, msgspec.json.encode(body)), "anthropic"
        )
        assert {msgspec.json.decode(line)["custom_id"] for line in (request, result)} == {custom_id}
    own = batch("anthropic", "messages")
    params = b'{"custom_id":"a","params":%s}\n' % msgspec.json.encode(body)
    request = TRANSLATOR.request_line(own, params, "openai")
    result = TRANSLATOR.result_line(own, AnthropicRows().succeeded_line("a", msgspec.json.encode(body)), "openai")
    assert {msgspec.json.decode(line)["custom_id"] for line in (request, result)} == {"a"}
