"""The supported providers by name, with the handler and the default base URL of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.ports.provider import ProviderHandler
from batchgate.engine.ports.provider_tasks import ProviderTasks
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.handlers.bedrock import BedrockHandler
from batchgate.providers.handlers.cohere import CohereHandler
from batchgate.providers.handlers.elevenlabs import ElevenLabsHandler
from batchgate.providers.handlers.gemini import GeminiHandler
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.handlers.replicate import ReplicateHandler, ReplicateTasks
from batchgate.providers.handlers.runway import RunwayHandler, RunwayTasks
from batchgate.providers.handlers.vertex import VertexHandler
from batchgate.providers.registry import known_servers

Requirement: TypeAlias = Literal["key", "base_url"]


class Provider(Struct, frozen=True):
    """One value of the documented provider enum."""

    base_url: str
    """The URL for accounts that set none, with ``{region}`` for their region, or an example if all must set one."""
    handler: Callable[[], ProviderHandler]
    """Makes the handler, which all accounts of the provider share."""
    requires: Requirement | None = "key"
    """What an account must set: a key, unless it has a URL of its own; or the URL, which is different for everyone."""
    openai: Provider | None = None
    """Its OpenAI-compatible API, which an account chooses by the setting ``api``, if there is another one too."""

    tasks: Callable[[], ProviderTasks] | None = None
    """Makes the calls about its tasks, if its calls return before the work is done."""
    bucket: Literal["s3", "gs"] | None = None
    """The scheme of the bucket whose objects its jobs read and write; None if they need none."""
    other_hosts: Mapping[str, str] = {}
    """The base URLs in regions where it is of another form."""
    has_projects: bool = False
    """Whether accounts may name a project, for which their key gets access tokens."""

    models_path: str | None = None
    """The path below the base URL that lists its models; None if it has none."""
    jobs_need_avro: bool = False
    """Whether the results of its batch API are Avro, which an extra reads."""

    @property
    def has_regions(self) -> bool:
        """Whether an account must set its region, which is part of the URL."""
        return "{region}" in self.base_url

    def url_in(self, region: str | None) -> str:
        """Return the base URL in a region."""
        return self.other_hosts.get(region or "", self.base_url.format(region=region))


def _openai_compatible(
    base_url: str,
    capabilities: ServerCapabilities,
    requires: Requirement | None = "key",
    models_path: str | None = "/models",
) -> Provider:
    return Provider(base_url, lambda: OpenAIHandler(capabilities), requires, models_path=models_path)


PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(
    {
        "anthropic": Provider("https://api.anthropic.com", AnthropicHandler, models_path="/v1/models"),
        "openai": _openai_compatible("https://api.openai.com/v1", known_servers.OPENAI),
        "azure": Provider(
            "https://RESOURCE.openai.azure.com/openai/v1",
            lambda: OpenAIHandler(known_servers.AZURE, key_header="api-key"),
            "base_url",
            models_path="/models",
        ),
        "bedrock": Provider("https://bedrock-runtime.{region}.amazonaws.com", BedrockHandler, bucket="s3"),
        "cohere": Provider(
            "https://api.cohere.com",
            lambda: CohereHandler(known_servers.COHERE),
            models_path="/v1/models",
            jobs_need_avro=True,
        ),
        "vllm": _openai_compatible("http://localhost:8000/v1", known_servers.VLLM, "base_url"),
        "sgl": _openai_compatible("http://localhost:30000/v1", known_servers.SGLANG, "base_url"),
        "ollama": _openai_compatible("http://localhost:11434/v1", known_servers.OLLAMA, None),
        "groq": _openai_compatible("https://api.groq.com/openai/v1", known_servers.GROQ),
        "gemini": Provider(
            "https://generativelanguage.googleapis.com",
            GeminiHandler,
            models_path="/v1beta/models",
            openai=_openai_compatible("https://generativelanguage.googleapis.com/v1beta/openai", known_servers.GEMINI),
        ),
        "vertex": Provider(
            "https://{region}-aiplatform.googleapis.com",
            VertexHandler,
            bucket="gs",
            other_hosts={
                "global": "https://aiplatform.googleapis.com",
                "us": "https://aiplatform.us.rep.googleapis.com",
                "eu": "https://aiplatform.eu.rep.googleapis.com",
            },
            has_projects=True,
        ),
        "mistral": _openai_compatible("https://api.mistral.ai/v1", known_servers.MISTRAL),
        "openrouter": _openai_compatible("https://openrouter.ai/api/v1", known_servers.OPENROUTER),
        "cerebras": _openai_compatible("https://api.cerebras.ai/v1", known_servers.CEREBRAS),
        "xai": _openai_compatible("https://api.x.ai/v1", known_servers.XAI),
        "fireworks": _openai_compatible("https://api.fireworks.ai/inference/v1", known_servers.FIREWORKS),
        "perplexity": _openai_compatible("https://api.perplexity.ai", known_servers.PERPLEXITY, models_path=None),
        "parasail": _openai_compatible("https://api.parasail.io/v1", known_servers.PARASAIL),
        "nebius": _openai_compatible("https://api.tokenfactory.nebius.com/v1", known_servers.NEBIUS),
        "replicate": Provider(
            "https://api.replicate.com", ReplicateHandler, tasks=ReplicateTasks, models_path="/v1/models"
        ),
        "elevenlabs": Provider("https://api.elevenlabs.io", ElevenLabsHandler, models_path="/v1/models"),
        "runway": Provider("https://api.dev.runwayml.com", RunwayHandler, tasks=RunwayTasks),
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
