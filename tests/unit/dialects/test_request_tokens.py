"""The tokens of requests are estimated within a quarter of what tokenizers count, on corpora that are not alike.

Each line of ``tests/fixtures/token_corpora`` has a request, and its tokens by two tokenizers: OpenAI's o200k_base (with
4 tokens around each message, 3 before the answer, and tools as compact JSON), and Mistral's Tekken with its own chat
template (mistral-common 1.13.1).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.request_tokens import MEDIA_TOKENS, request_tokens

CORPORA = Path(__file__).parents[2] / "fixtures" / "token_corpora"
FOUND = [
    pytest.param("messages", {"max_tokens": 7}, 7, id="messages"),
    pytest.param("chat_completions", {"max_completion_tokens": 7, "n": 3}, 21, id="chat"),
    pytest.param("responses", {"max_output_tokens": 7}, 7, id="responses"),
    pytest.param("converse", {"inferenceConfig": {"maxTokens": 7}}, 7, id="converse"),
    pytest.param(
        "generate_content", {"generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}}, 14, id="gemini"
    ),
    pytest.param("embeddings", {"input": ["text"]}, 0, id="embeddings"),
    pytest.param("messages", {"max_tokens": "many"}, None, id="wrong"),
    pytest.param("messages", {}, None, id="unbounded"),
]


def input_tokens(kind: RowKind = "messages", **body: Any) -> float:
    estimate = request_tokens(kind, msgspec.json.encode(body))
    assert estimate is not None
    return estimate.input


@pytest.mark.parametrize("corpus", ["short", "long", "tools"])
@pytest.mark.parametrize("tokenizer", ["o200k_base", "tekken"])
def test_the_estimate_of_a_corpus_is_within_a_quarter_of_the_truth(corpus: str, tokenizer: str) -> None:
    rows = [msgspec.json.decode(line) for line in (CORPORA / f"{corpus}.jsonl").read_bytes().splitlines()]
    estimated = sum(input_tokens("chat_completions", **row["body"]) for row in rows)
    assert estimated == pytest.approx(sum(row["tokens"][tokenizer] for row in rows), rel=0.25)


@pytest.mark.parametrize(("kind", "fields", "limit"), FOUND)
def test_the_output_is_bounded_by_what_a_request_of_each_kind_says(
    kind: RowKind, fields: dict[str, Any], limit: int | None
) -> None:
    estimate = request_tokens(kind, msgspec.json.encode(fields))
    assert estimate is not None
    assert estimate.output_limit == limit


def test_the_same_text_is_the_same_tokens_in_every_dialect_and_escaped() -> None:
    text = "Grüße aus Köln: 東京 und Москва"
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    expected = input_tokens(**chat)
    in_parts = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    assert input_tokens("messages", messages=in_parts) == expected
    assert input_tokens("generate_content", contents=[{"role": "user", "parts": [{"text": text}]}]) == expected
    assert input_tokens("responses", input=[{"role": "user", "content": text}]) == expected
    escaped = request_tokens("messages", json.dumps(chat).encode())
    assert escaped is not None
    assert escaped.input == expected
    assert input_tokens(system="Be brief.", **chat) > expected
    assert input_tokens(model="a-long-name-of-a-model", metadata={"user_id": "x" * 500}, **chat) == expected


def test_an_image_counts_as_one_whatever_its_bytes_are() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}
    found = input_tokens(messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    assert MEDIA_TOKENS <= found < MEDIA_TOKENS + 10
    part = {"type": "image_url", "image_url": {"url": "https://example.com/" + "x" * 5000}}
    assert input_tokens("chat_completions", messages=[{"role": "user", "content": [part]}]) == found


def test_tokens_that_are_sent_as_numbers_are_counted() -> None:
    assert input_tokens("embeddings", input=[1, 2, 3]) == 3
    assert input_tokens("embeddings", input=[[1, 2], [3]]) == 3


def test_deep_nesting_and_kinds_without_tokens_are_no_error() -> None:
    deep: Any = "text"
    for _ in range(900):
        deep = {"content": deep}
    assert input_tokens(messages=[{"role": "user", "content": deep}]) > 0
    assert request_tokens("elevenlabs", b'{"text": "Hello"}') is None
