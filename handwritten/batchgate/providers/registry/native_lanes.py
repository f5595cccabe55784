"""The clients of batch APIs by the provider's name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from batchgate.engine.ports.provider_batches import ProviderBatches
from batchgate.providers.batches.anthropic_batches import AnthropicBatches
from batchgate.providers.batches.bedrock_batches import BedrockBatches
from batchgate.providers.batches.cohere_batches import CohereBatches
from batchgate.providers.batches.fireworks_batches import FireworksBatches
from batchgate.providers.batches.gemini_batches import GeminiBatches
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.batches.mistral_batches import MistralBatches
from batchgate.providers.batches.openai_batches import OpenAIBatches
from batchgate.providers.batches.openai_dialects import OPENAI_DIALECTS
from batchgate.providers.batches.openrouter_batches import OpenRouterBatches
from batchgate.providers.batches.together_batches import TogetherBatches
from batchgate.providers.batches.vertex_batches import VertexBatches
from batchgate.providers.batches.xai_batches import XAIBatches
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.handlers.bedrock import BedrockHandler
from batchgate.providers.handlers.cohere import CohereHandler
from batchgate.providers.handlers.gemini import GeminiHandler
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.handlers.vertex import VertexHandler
from batchgate.providers.registry.providers import PROVIDERS

_CLIENTS_ALONE: Final[Mapping[str, ServerCapabilities]] = MappingProxyType(
    {
        "deepinfra": ServerCapabilities(
            name="deepinfra", serves=frozenset({"chat_completions", "embeddings", "completions"})
        ),
        "together": ServerCapabilities(name="together", serves=frozenset({"chat_completions"}), stop_limit=4),
    }
)
"""No account can have these providers; only the clients of their batch APIs are there."""

_LANES: Final[Mapping[str, Callable[[OpenAIHandler, HttpExchange], ProviderBatches]]] = MappingProxyType(
    {
        "mistral": MistralBatches,
        "together": TogetherBatches,
        "xai": XAIBatches,
        "openrouter": OpenRouterBatches,
    }
)
"""The clients of batch APIs that have a form of their own, for providers whose live API is OpenAI's."""


def provider_batches(
    provider: str, exchange: HttpExchange, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> ProviderBatches | None:
    """Return the client of a provider's batch API, which its accounts share; None for a provider without one.

    The handlers are those of the direct lane, so both lanes send the same bodies.
    """
    match handler := _handler(provider):
        case AnthropicHandler():
            return AnthropicBatches(handler, exchange)
        case BedrockHandler():
            return BedrockBatches(handler, exchange)
        case CohereHandler():
            return CohereBatches(handler, exchange, sleep)
        case GeminiHandler():
            return GeminiBatches(handler, exchange, sleep)
        case VertexHandler():
            return VertexBatches(handler, exchange)
    return _openai_lane(provider, handler, exchange, sleep) if isinstance(handler, OpenAIHandler) else None


def _handler(provider: str) -> object:
    """Return the handler of a provider's live API; None for an unknown provider."""
    if provider in _CLIENTS_ALONE:
        return OpenAIHandler(_CLIENTS_ALONE[provider])
    return PROVIDERS[provider].handler() if provider in PROVIDERS else None


def _openai_lane(
    provider: str, handler: OpenAIHandler, exchange: HttpExchange, sleep: Callable[[float], Awaitable[None]]
) -> ProviderBatches | None:
    """Return the client for a provider whose live API is OpenAI's."""
    if provider == "fireworks":
        return FireworksBatches(handler, exchange, sleep)
    if provider in _LANES:
        return _LANES[provider](handler, exchange)
    dialect = OPENAI_DIALECTS.get(provider)
    return None if dialect is None else OpenAIBatches(dialect, handler, exchange, sleep)
