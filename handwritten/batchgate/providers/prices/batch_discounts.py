"""The discounts of the providers' batch APIs, for models of which the catalogue of prices knows none.

The catalogue (genai-prices 0.2.3) returns the normal price, and does not say so, for Azure, Cerebras and Perplexity,
and for older models of OpenAI, Anthropic and Groq. It has no prices of Parasail, Nebius and DeepInfra at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from msgspec import Struct


class BatchDiscount(Struct, frozen=True, kw_only=True):
    """What a request costs in a batch API."""

    factor: Fraction
    """The part of the normal price."""
    models: tuple[str, ...] = ()
    """How the names of the models begin that have it; empty if all have it."""
    cached: bool = True
    """Whether the discount of the provider's cache holds in jobs too; otherwise all input costs the same."""
    source: str
    """Where the provider says so, or who found it out."""

    def factor_of(self, model: str) -> Fraction:
        """Return the part of the normal price that a model costs."""
        return self.factor if not self.models or model.startswith(self.models) else Fraction(1)


_HALF: Final = Fraction(1, 2)

NO_DISCOUNT: Final = BatchDiscount(factor=Fraction(1), source="")

BATCH_DISCOUNTS: Final[Mapping[str, BatchDiscount]] = MappingProxyType(
    {
        # Cached input was billed at a tenth of the batch input price (gpt-5-nano): github.com/OpenRouterTeam/docs.
        "openai": BatchDiscount(factor=_HALF, source="https://developers.openai.com/api/docs/guides/batch"),
        "azure": BatchDiscount(factor=_HALF, source="https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch"),
        # All usage is halved, cache writes and reads too.
        "anthropic": BatchDiscount(
            factor=_HALF, source="https://platform.claude.com/docs/en/build-with-claude/batch-processing#pricing"
        ),
        "groq": BatchDiscount(factor=_HALF, cached=False, source="https://console.groq.com/docs/batch"),
        "cerebras": BatchDiscount(factor=_HALF, source="inference-docs.cerebras.ai"),
        # Tokens from the cache cost half of that again.
        "parasail": BatchDiscount(factor=_HALF, source="docs.parasail.io"),
        # Base models only: fine-tuned ones need a native_factors of their own.
        "nebius": BatchDiscount(factor=_HALF, source="docs.tokenfactory.nebius.com"),
        "deepinfra": BatchDiscount(factor=Fraction(4, 5), source="https://deepinfra.com/blog/batch-api"),
        "bedrock": BatchDiscount(factor=_HALF, source="https://aws.amazon.com/bedrock/pricing"),
        "gemini": BatchDiscount(factor=_HALF, source="https://ai.google.dev/gemini-api/docs/batch-api"),
        # The discount of its cache replaces that of the job, so cached input costs less than is counted here.
        "vertex": BatchDiscount(
            factor=_HALF,
            cached=False,
            source="https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini",
        ),
        "mistral": BatchDiscount(factor=_HALF, source="https://docs.mistral.ai/capabilities/batch"),
        # Tokens from the cache cost half of that again.
        "fireworks": BatchDiscount(factor=_HALF, source="https://docs.fireworks.ai/guides/batch-inference"),
        # Some models cost more than half.
        "openrouter": BatchDiscount(factor=_HALF, source="github.com/OpenRouterTeam/docs"),
        "xai": BatchDiscount(
            factor=Fraction(4, 5), models=("grok-4.3", "grok-4.20"), source="github.com/OpenRouterTeam/docs"
        ),
        "together": BatchDiscount(
            factor=_HALF, models=("meta-llama/Llama-3.3-70B-Instruct-Turbo",), source="github.com/OpenRouterTeam/docs"
        ),
    }
)
"""By provider. Perplexity and Cohere have batch APIs, but publish no discount."""


def batch_discount(provider: str) -> BatchDiscount:
    """Return the discount of a provider's batch API; none for a provider that publishes none."""
    return BATCH_DISCOUNTS.get(provider, NO_DISCOUNT)
