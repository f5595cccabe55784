"""The clients of batch APIs by the provider's name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from batchgate.engine.ports.provider_batches import ProviderBatches
from batchgate.providers.batches.anthropic_batches import AnthropicBatches
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.batches.openai_batches import OpenAIBatches
from batchgate.providers.batches.openai_dialects import OPENAI_DIALECTS
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry.providers import PROVIDERS

_DEEPINFRA: Final = ServerCapabilities(
    name="deepinfra", serves=frozenset({"chat_completions", "embeddings", "completions"})
)
"""No account can have this provider; only the client of its batch API is there."""


def provider_batches(
    provider: str, exchange: HttpExchange, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> ProviderBatches | None:
    """Return the client of a provider's batch API, which its accounts share; None for a provider without one.

    The handlers are those of the direct lane, so both lanes send the same bodies.
    """
    if provider == "deepinfra":
        handler: object = OpenAIHandler(_DEEPINFRA)
    elif provider in PROVIDERS:
        handler = PROVIDERS[provider].handler()
    else:
        return None
    if isinstance(handler, AnthropicHandler):
        return AnthropicBatches(handler, exchange)
    dialect = OPENAI_DIALECTS.get(provider)
    return OpenAIBatches(dialect, handler, exchange, sleep) if dialect and isinstance(handler, OpenAIHandler) else None
