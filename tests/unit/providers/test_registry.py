"""Every provider of the documented enum has a handler and a URL."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from msgspec import structs

from batchgate.providers.registry.providers import PROVIDERS
from tests.unit.providers.calls import account, row

# The enum of the documents: facts/bifrost.md, "provider enum in docs".
DOCUMENTED = {
    *(
        "openai",
        "azure",
        "anthropic",
        "bedrock",
        "cohere",
        "vertex",
        "vllm",
        "mistral",
        "ollama",
        "groq",
        "sgl",
        "parasail",
    ),
    *("perplexity", "replicate", "cerebras", "gemini", "openrouter", "elevenlabs", "huggingface", "nebius", "xai"),
    *("runway", "fireworks"),
}


OWN_URLS = {"replicate": "/v1/predictions", "elevenlabs": "/v1/music", "runway": "/v1/text_to_video"}


def test_every_provider_has_a_documented_name() -> None:
    assert PROVIDERS.keys() <= DOCUMENTED


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_is_called_below_its_base_url(name: str) -> None:
    provider = PROVIDERS[name]
    own = OWN_URLS.get(name)
    sent = row() if own is None else structs.replace(row(), kind=name, url=own)
    request = provider.handler().encode(account(provider=name, base_url=provider.base_url), sent)
    assert request.url.startswith(f"{provider.base_url}/")
    ends = {
        "anthropic": "/v1/messages",
        "bedrock": "/model/model/converse",
        "gemini": "/v1beta/models/model:generateContent",
        "vertex": "/v1beta1/publishers/google/models/model:generateContent",
    }
    assert request.url.endswith((ends | OWN_URLS).get(name, "/chat/completions"))
    assert not provider.base_url.endswith("/")


@pytest.mark.parametrize("name", PROVIDERS)
def test_only_servers_on_this_machine_are_called_without_encryption(name: str) -> None:
    url = urlsplit(PROVIDERS[name].base_url)
    assert url.scheme == ("http" if url.hostname == "localhost" else "https")


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_refusal_names_the_provider_that_refuses(name: str) -> None:
    # One translates nothing, one through all of Chat Completions, and one names the format, which is Gemini's.
    if name in {"anthropic", "bedrock", "vertex"}:
        return
    handler = PROVIDERS[name].handler()
    row_with_budget = row(
        b'{"model":"m","max_tokens":2048,"messages":[{"role":"user","content":"a"}],'
        b'"metadata":{"user_id":"u"},"tool_choice":{"type":"auto","disable_parallel_tool_use":true},'
        b'"stop_sequences":["1","2","3","4","5"],"top_k":1,"thinking":{"type":"enabled","budget_tokens":1024},'
        b'"output_config":{"effort":"max"},"tools":[{"name":"t","input_schema":{},"strict":true}]}'
    )
    with pytest.raises(Exception, match=f"(?i){name}"):
        handler.encode(account(), row_with_budget)
