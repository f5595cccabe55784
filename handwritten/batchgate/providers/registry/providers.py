"""The supported providers by name, with the handler and the default base URL of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.ports.provider import ProviderHandler
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry import known_servers

Requirement: TypeAlias = Literal["key", "base_url"]


class Provider(Struct, frozen=True):
    """One value of the documented provider enum."""

    base_url: str
    """The URL for accounts that set none, or an example if every account must set one."""
    handler: Callable[[], ProviderHandler]
    """Makes the handler, which all accounts of the provider share."""
    requires: Requirement | None = "key"
    """What an account must set: a key, unless it has a URL of its own; or the URL, which is different for everyone."""


def _openai_compatible(
    base_url: str, capabilities: ServerCapabilities, requires: Requirement | None = "key"
) -> Provider:
    return Provider(base_url, lambda: OpenAIHandler(capabilities), requires)


PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(
    {
        "anthropic": Provider("https://api.anthropic.com", AnthropicHandler),
        "openai": _openai_compatible("https://api.openai.com/v1", known_servers.OPENAI),
        "azure": Provider(
            "https://RESOURCE.openai.azure.com/openai/v1",
            lambda: OpenAIHandler(known_servers.AZURE, key_header="api-key"),
            "base_url",
        ),
        "vllm": _openai_compatible("http://localhost:8000/v1", known_servers.VLLM, "base_url"),
        "sgl": _openai_compatible("http://localhost:30000/v1", known_servers.SGLANG, "base_url"),
        "ollama": _openai_compatible("http://localhost:11434/v1", known_servers.OLLAMA, None),
        "groq": _openai_compatible("https://api.groq.com/openai/v1", known_servers.GROQ),
        "gemini": _openai_compatible("https://generativelanguage.googleapis.com/v1beta/openai", known_servers.GEMINI),
        "mistral": _openai_compatible("https://api.mistral.ai/v1", known_servers.MISTRAL),
        "openrouter": _openai_compatible("https://openrouter.ai/api/v1", known_servers.OPENROUTER),
        "cerebras": _openai_compatible("https://api.cerebras.ai/v1", known_servers.CEREBRAS),
        "xai": _openai_compatible("https://api.x.ai/v1", known_servers.XAI),
        "fireworks": _openai_compatible("https://api.fireworks.ai/inference/v1", known_servers.FIREWORKS),
        "perplexity": _openai_compatible("https://api.perplexity.ai", known_servers.PERPLEXITY),
        "parasail": _openai_compatible("https://api.parasail.io/v1", known_servers.PARASAIL),
        "nebius": _openai_compatible("https://api.tokenfactory.nebius.com/v1", known_servers.NEBIUS),
        "huggingface": _openai_compatible("https://router.huggingface.co/v1", known_servers.HUGGINGFACE),
    }
)
"""All supported providers."""

PROVIDER_NAMES: Final = (
    *("openai", "azure", "anthropic", "bedrock", "cohere", "vertex", "vllm", "mistral", "ollama", "groq", "sgl"),
    *("parasail", "perplexity", "replicate", "cerebras", "gemini", "openrouter", "elevenlabs", "huggingface", "nebius"),
    *("xai", "runway", "fireworks"),
)
"""The documented names of providers (facts/bifrost.md 1.1), also of those that no account can have."""
