"""Tells whether the part of a model's name before a slash is an organisation's, and so belongs to the model's own name.

``meta-llama/Llama-3.1-8B-Instruct`` is the whole name of a model, while ``acount/gpt-5`` is a misspelt account.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from batchgate.providers.registry.providers import PROVIDER_NAMES

_HOSTS: Final = frozenset(
    {
        *("vllm", "sgl", "ollama", "groq", "openrouter", "cerebras", "fireworks", "parasail", "nebius", "huggingface"),
        "replicate",
    }
)
"""Providers that serve the models of many organisations; the others name their own models, without a slash."""

# fmt: off
_ORGANISATIONS: Final = frozenset({
    "01-ai", "ai21", "ai21labs", "aion-labs", "alibaba-nlp", "allenai", "alpindale", "amazon", "anthracite-org",
    "anthropic", "apple", "arcee-ai", "baai", "baidu", "bartowski", "bigcode", "bigscience", "bytedance",
    "bytedance-seed", "casperhansen", "cognitivecomputations", "cohere", "cohereforai", "coherelabs", "databricks",
    "deepcogito", "deepseek", "deepseek-ai", "eleutherai", "facebook", "google", "gryphe", "huggingfaceh4",
    "huggingfacetb", "ibm", "ibm-granite", "inception", "inclusionai", "inflection", "intel", "internlm",
    "intfloat", "jinaai", "kwaipilot", "lgai-exaone", "liquid", "liquidai", "lmsys", "mancer", "meituan", "meta",
    "meta-llama", "microsoft", "minimax", "minimaxai", "mistralai", "mixedbread-ai", "moonshotai", "morph",
    "mosaicml", "neuralmagic", "nomic-ai", "nousresearch", "nvidia", "openai", "openbmb", "openchat", "opengvlab",
    "openrouter", "perplexity", "qwen", "redhatai", "relace", "salesforce", "sao10k", "sentence-transformers",
    "snowflake", "stabilityai", "stepfun", "stepfun-ai", "swiss-ai", "switchpoint", "teknium", "tencent",
    "thebloke", "thedrummer", "thudm", "tiiuae", "tngtech", "together", "togethercomputer", "undi95", "unsloth",
    "upstage", "utter-project", "wizardlmteam", "writer", "x-ai", "xai-org", "xiaomi", "xiaomimimo", "z-ai",
    "zai-org", "zhipuai",
})
# fmt: on
"""Organisations that publish models, in lower case, by their names on Hugging Face and OpenRouter."""

_PATHS: Final = frozenset({"accounts", "hf.co", "huggingface.co", "models", "projects", "publishers", "tunedmodels"})
"""First parts of paths that some providers use as names, such as ``models/gemini-2.5-pro``."""

_ARN: Final = "arn:"
"""The beginning of Amazon's names of resources, such as ``arn:aws:bedrock:eu-west-1:1234:inference-profile/x``."""

_SIMILAR: Final = 0.8
"""The similarity to an account's name (`difflib`) from which on a prefix counts as its misspelling."""


def is_part_of_model_name(prefix: str, *, provider: str, accounts: Collection[str], providers: Collection[str]) -> bool:
    """Return whether a prefix that is no account's name belongs to the name of a model of ``provider``.

    Providers that serve models of many organisations accept any prefix, unless it is the name of a provider or nearly
    that of an account. Other providers accept those of known organisations, unless the gateway has an account of a
    provider with this name: ``openai/gpt-5`` then means that account. ``accounts`` and ``providers`` are the names of
    all accounts and of their providers.
    """
    known = prefix.lower() in _ORGANISATIONS or prefix.lower() in _PATHS or prefix.startswith(_ARN)
    if provider not in _HOSTS:
        return known and prefix not in providers
    return known or not (prefix in PROVIDER_NAMES or _is_misspelt(prefix, tuple(accounts)))


@lru_cache(maxsize=1024)
def _is_misspelt(prefix: str, accounts: tuple[str, ...]) -> bool:
    return bool(get_close_matches(prefix, accounts, n=1, cutoff=_SIMILAR))
