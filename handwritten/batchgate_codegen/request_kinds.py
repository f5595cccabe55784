"""Finds out which requests a provider takes by writing one of each kind for it, as both lanes do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from batchgate.engine.dispatch.lane_choice import refusal_of_kind
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import ProviderBatches
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.dialects.claude_models import is_claude
from batchgate.providers.registry.native_lanes import provider_batches
from batchgate.providers.registry.providers import Provider

Treatment: TypeAlias = Literal["unchanged", "translated", "refused"]
"""What becomes of a request on its way to the provider."""

KINDS: Final[tuple[RowKind, ...]] = get_args(RowKind)

MODELS: Final = ("model", "anthropic.claude-model")
"""A model of no family, and a Claude model: where both are served, they have formats of their own."""

_TURNS: Final[dict[str, Any]] = {"messages": [{"role": "user", "content": "Hello"}]}
_SAMPLES: Final[Mapping[str, dict[str, Any]]] = MappingProxyType(
    {
        "messages": {"system": "Be brief.", "max_tokens": 16} | _TURNS,
        "chat_completions": {"max_completion_tokens": 16} | _TURNS,
        "responses": {"input": "Hello"},
        "embeddings": {"input": "Hello"},
        "completions": {"prompt": "Hello"},
        "generate_content": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        "embed_content": {"content": {"parts": [{"text": "Hello"}]}},
        "converse": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
        "speech": {"input": "Hello", "voice": "alloy"},
        "replicate": {"version": "a-version", "input": {"prompt": "Hello"}},
        "elevenlabs": {"text": "Hello"},
        "runway": {"promptText": "Hello"},
        "cohere_embed": {"texts": ["Hello"], "input_type": "search_query", "embedding_types": ["float"]},
    }
)
"""A request of each kind, without its model, in words that no other kind has; any other kind has `_TURNS`."""

_URLS: Final[Mapping[RowKind, str]] = MappingProxyType(
    {"replicate": "/v1/predictions", "elevenlabs": "/v1/music", "runway": "/v1/text_to_video"}
)
"""The urls of the requests that have one of their own."""


def native_lane(name: str) -> ProviderBatches | None:
    """Return the client of a provider's batch API if requests of any kind travel in its jobs."""
    batches = provider_batches(name, HttpExchange())
    if batches is None or all(set(native_treatment(batches, name, kind).values()) == {"refused"} for kind in KINDS):
        return None
    return batches


def direct_treatment(provider: Provider, name: str, kind: RowKind) -> dict[str, Treatment]:
    """Return what becomes of requests of a kind that are called, by model."""
    return {model: _called(provider, name, kind, model) for model in MODELS}


def native_treatment(batches: ProviderBatches, name: str, kind: RowKind) -> dict[str, Treatment]:
    """Return what becomes of requests of a kind in jobs of the batch API, by model."""
    return {model: _in_job(batches, name, kind, model) for model in MODELS}


def is_for_claude(model: str) -> bool:
    """Return whether one of `MODELS` is the Claude model."""
    return is_claude(model)


def _called(provider: Provider, name: str, kind: RowKind, model: str) -> Treatment:
    try:
        request = provider.handler().encode(_account(name), _row(kind, model))
    except RequestError:
        return "refused"
    return _treatment(kind, request.body)


def _in_job(batches: ProviderBatches, name: str, kind: RowKind, model: str) -> Treatment:
    row = _row(kind, model)
    try:
        if batches.refusal(row) is not None or refusal_of_kind(kind, batches) is not None:
            return "refused"
        planned = batches.encode(_account(name), row, "row-1")
    except RequestError:
        return "refused"
    return _treatment(kind, planned.line)


def _treatment(kind: RowKind, sent: bytes) -> Treatment:
    sample = _sample(kind)
    unchanged = any(sample.items() <= found.items() for found in _objects(msgspec.json.decode(sent)))
    return "unchanged" if unchanged else "translated"


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield an object and all objects in it."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(part)


def _sample(kind: RowKind) -> dict[str, Any]:
    return _SAMPLES.get(kind, _TURNS)


def _row(kind: RowKind, model: str) -> RequestRow:
    params = msgspec.json.encode({"model": model} | _sample(kind))
    return RequestRow(custom_id="row-1", params=params, model=model, headers={}, kind=kind, url=_URLS.get(kind))


def _account(provider: str) -> Account:
    url = "https://provider.example"
    return Account(name=provider, provider=provider, base_url=url, api_key="a-key", region="here", project="a-project")
