"""Which requests take the direct lane instead, with the field that says so (native-lanes 3)."""

from __future__ import annotations

import msgspec
import pytest

from batchgate.providers.batches.refusals import refused_field
from tests.unit.providers.calls import Json, row


@pytest.mark.parametrize(
    ("provider", "kind", "params", "field"),
    [
        ("openai", "chat_completions", {"stream": True}, "stream"),
        ("groq", "messages", {"stream": True}, "stream"),
        ("openai", "chat_completions", {"stream": False}, None),
        ("openai", "responses", {"background": True}, "background"),
        ("openai", "responses", {"background": None}, None),
        ("openai", "responses", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("openai", "embeddings", {"input": ["a", "b"]}, "input"),
        ("openai", "embeddings", {"input": [[1, 2], [3]]}, "input"),
        ("openai", "embeddings", {"input": [1, 2, 3]}, None),
        ("openai", "embeddings", {"input": "text"}, None),
        ("openai", "responses", {"input": [{"role": "user"}, {"role": "user"}]}, None),
        ("anthropic", "messages", {"speed": "fast"}, "speed"),
        ("anthropic", "messages", {"store": False}, "store"),
        ("anthropic", "messages", {"previous_thread_event_id": "e"}, "previous_thread_event_id"),
        ("anthropic", "messages", {"cache_hint": {}}, "cache_hint"),
        ("anthropic", "messages", {"context_hint": {}}, "context_hint"),
        ("anthropic", "messages", {"fallbacks": []}, "fallbacks"),
        ("anthropic", "messages", {"research_preview_2026_02": "active"}, "research_preview_2026_02"),
        ("anthropic", "messages", {"max_tokens": 0}, "max_tokens"),
        ("anthropic", "messages", {"max_tokens": 1, "speed": None}, None),
        ("anthropic", "chat_completions", {"store": True}, None),
        ("openai", "chat_completions", {"store": True}, None),
        ("deepinfra", "chat_completions", {"stream_options": {"include_usage": True}}, "stream_options"),
        ("deepinfra", "chat_completions", {"max_tokens": 0}, "max_tokens"),
        ("openai", "chat_completions", {"max_tokens": 0}, None),
        ("mistral", "chat_completions", {"temperature": 1.6}, "temperature"),
        ("mistral", "chat_completions", {"temperature": 1.5}, None),
        ("mistral", "chat_completions", {"temperature": "hot"}, None),
        ("mistral", "chat_completions", {"max_tokens": -1}, "max_tokens"),
        ("mistral", "chat_completions", {"messages": []}, "messages"),
        ("together", "chat_completions", {"stop": ["1", "2", "3", "4", "5"]}, "stop"),
        ("together", "chat_completions", {"stop": "12345"}, None),
        ("together", "chat_completions", {"tools": [{"type": "web_search"}]}, "tools"),
        ("xai", "chat_completions", {"tools": [{"type": "function"}, {"type": "x_search"}]}, "tools"),
        ("xai", "chat_completions", {"tools": [{"type": "function", "function": {"name": "web_search"}}]}, None),
        ("xai", "chat_completions", {"temperature": 99}, "temperature"),
        ("openrouter", "chat_completions", {"messages": [{"url": "data:image/png;base64,AA"}]}, "messages"),
        ("openrouter", "messages", {"messages": [{"source": {"type": "base64", "data": "AA"}}]}, "messages"),
        ("openrouter", "chat_completions", {"messages": [{"content": 'say "data:image/png;base64,AA"'}]}, None),
        ("openrouter", "chat_completions", {"messages": [{"url": "https://example.com/a.png"}]}, None),
        ("fireworks", "chat_completions", {"prompt_token_ids": [1]}, "prompt_token_ids"),
        ("fireworks", "chat_completions", {"messages": []}, "messages"),
        ("openrouter", "chat_completions", {"plugins": [{"id": "web"}]}, "plugins"),
        ("openrouter", "chat_completions", {"web_search_options": {}}, "web_search_options"),
        ("openrouter", "chat_completions", {"modalities": ["text", "image"]}, "modalities"),
        ("mistral", "chat_completions", {"messages": [{"role": "user", "content": "Hi"}]}, None),
    ],
)
def test_a_field_refuses_a_request(provider: str, kind: str, params: Json, field: str | None) -> None:
    refused = refused_field(provider, row(msgspec.json.encode({"model": "m"} | params), kind=kind))

    assert (None if refused is None else refused.partition(":")[0]) == field


@pytest.mark.parametrize("params", [b"[]", b"{", b'{"stream": tru}', b"\xff"])
def test_a_request_that_is_no_object_is_reported_by_its_encoding(params: bytes) -> None:
    assert refused_field("openai", row(params)) is None
