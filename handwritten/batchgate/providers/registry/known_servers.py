"""Capabilities of known OpenAI-compatible servers.

Types of the providers' SDKs: OpenAI (openai 3.54), Groq (groq 1.7), Mistral (mistralai), OpenRouter (openrouter 1.3),
Fireworks (fireworks-ai 1.2), Cerebras (cerebras-cloud-sdk 1.91) and Perplexity (perplexityai 0.46). Documentation:
Cohere (docs.cohere.com/docs/compatibility-api). Source code: vLLM
(``vllm/entrypoints/openai/chat_completion/protocol.py``), SGLang
(``python/sglang/srt/entrypoints/openai/protocol.py``) and Ollama (``openai/openai.go``). Features that were not found
there, and all other servers, have the conservative defaults of `ServerCapabilities`. ``serves`` follows the servers'
documentation; Responses are translated unless the server is known to implement them completely.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.server_capabilities import EFFORTS, Effort, ServerCapabilities
from batchgate.providers.dialects.tool_call_ids import MISTRAL_TOOL_IDS, OPENAI_TOOL_IDS

_FOUR_EFFORTS: Final[frozenset[Effort]] = frozenset({"none", "low", "medium", "high"})

_ALL_KINDS: Final[frozenset[RowKind]] = frozenset({"chat_completions", "responses", "embeddings", "completions"})
_WITHOUT_RESPONSES: Final[frozenset[RowKind]] = _ALL_KINDS - {"responses"}
_WITH_EMBEDDINGS: Final[frozenset[RowKind]] = frozenset({"chat_completions", "embeddings"})

OPENAI: Final = ServerCapabilities(
    name="openai",
    serves=_ALL_KINDS,
    max_tokens_field="max_completion_tokens",
    user_field="safety_identifier",
    stop_limit=4,
    efforts=EFFORTS,
    strict_tools=True,
    service_tiers=True,
    openai_fields=True,
    logprobs=True,
    tool_ids=OPENAI_TOOL_IDS,
)

AZURE: Final = structs.replace(OPENAI, name="azure")
"""OpenAI's models under OpenAI's API."""

VLLM: Final = ServerCapabilities(
    name="vllm",
    serves=_ALL_KINDS,
    logprobs=True,
    top_k=True,
    efforts=EFFORTS,
    thinking_budget=True,
    reasoning_field="reasoning",
    prefill=True,
)

SGLANG: Final = ServerCapabilities(
    name="sgl",
    serves=_WITHOUT_RESPONSES,
    logprobs=True,
    top_k=True,
    efforts=EFFORTS,
    reasoning_field="reasoning_content",
    prefill=True,
    strict_tools=True,
)

OLLAMA: Final = ServerCapabilities(
    name="ollama",
    serves=_WITHOUT_RESPONSES,
    efforts=_FOUR_EFFORTS,
    reasoning_field="reasoning",
    image_urls=False,
    tool_choice=False,
    parallel_tool_calls=False,
)

GROQ: Final = ServerCapabilities(
    name="groq",
    max_tokens_field="max_completion_tokens",
    stop_limit=4,
    efforts=_FOUR_EFFORTS,
    reasoning_field="reasoning",
    strict_tools=True,
)

MISTRAL: Final = ServerCapabilities(
    name="mistral",
    serves=_WITH_EMBEDDINGS,
    user_field=None,
    top_k=True,
    efforts=EFFORTS,
    strict_tools=True,
    tool_ids=MISTRAL_TOOL_IDS,
)

OPENROUTER: Final = ServerCapabilities(
    name="openrouter",
    serves=_WITHOUT_RESPONSES,
    top_k=True,
    efforts=EFFORTS,
    reasoning_field="reasoning",
    strict_tools=True,
    service_tiers=True,
)

FIREWORKS: Final = ServerCapabilities(
    name="fireworks",
    serves=_WITHOUT_RESPONSES,
    top_k=True,
    efforts=_FOUR_EFFORTS,
    reasoning_field="reasoning_content",
    strict_tools=True,
    service_tiers=True,
)

CEREBRAS: Final = ServerCapabilities(
    name="cerebras",
    max_tokens_field="max_completion_tokens",
    efforts=_FOUR_EFFORTS,
    reasoning_field="reasoning",
    strict_tools=True,
    service_tiers=True,
)

PERPLEXITY: Final = ServerCapabilities(
    name="perplexity",
    user_field=None,
    top_k=True,
    efforts=frozenset({"minimal", "low", "medium", "high"}),
    strict_tools=True,
)

COHERE: Final = ServerCapabilities(
    name="cohere",
    user_field=None,
    stop_limit=5,
    efforts=frozenset({"none", "high"}),
    tool_choice=False,
    parallel_tool_calls=False,
    strict_tools=True,
    schema_format="json_object",
)
"""Cohere's Compatibility API, for chat alone."""

# "minimal" is documented, but users report that it is rejected: discuss.ai.google.dev/t/117875 and 118724.
GEMINI: Final = ServerCapabilities(
    name="gemini", serves=_WITH_EMBEDDINGS, user_field=None, efforts=_FOUR_EFFORTS, thought_signatures=True
)
"""Gemini's OpenAI-compatible API."""

XAI: Final = ServerCapabilities(name="xai")
PARASAIL: Final = ServerCapabilities(name="parasail")
NEBIUS: Final = ServerCapabilities(name="nebius")
HUGGINGFACE: Final = ServerCapabilities(name="huggingface")
