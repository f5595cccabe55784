"""The servers of Chat Completions that are known by name, and what each can be told.

OpenAI by the types of openai-python 3.54; vLLM by ``vllm/entrypoints/openai/chat_completion/protocol.py``, SGLang by
``python/sglang/srt/entrypoints/openai/protocol.py``, Ollama by ``openai/openai.go`` of their repositories; the
hosted ones by their documentation. What was not found there is left at the careful default of `Target`.
"""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.target import Effort, Target

_ALL_EFFORTS: Final[frozenset[Effort]] = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_FOUR_EFFORTS: Final[frozenset[Effort]] = frozenset({"none", "low", "medium", "high"})

OPENAI: Final = Target(
    name="openai",
    max_tokens_field="max_completion_tokens",
    user_field="safety_identifier",
    stop_limit=4,
    efforts=_ALL_EFFORTS,
    strict_tools=True,
    service_tiers=True,
)

VLLM: Final = Target(
    name="vllm",
    top_k=True,
    efforts=_ALL_EFFORTS,
    thinking_budget=True,
    reasoning_field="reasoning",
    prefill=True,
)

SGLANG: Final = Target(
    name="sgl",
    top_k=True,
    efforts=_ALL_EFFORTS,
    reasoning_field="reasoning_content",
    prefill=True,
    strict_tools=True,
)

OLLAMA: Final = Target(
    name="ollama",
    efforts=_FOUR_EFFORTS,
    reasoning_field="reasoning",
    image_urls=False,
    tool_choice=False,
    parallel_tool_calls=False,
)

GROQ: Final = Target(name="groq", max_tokens_field="max_completion_tokens", stop_limit=4, efforts=_FOUR_EFFORTS)
GEMINI: Final = Target(name="gemini", user_field=None, efforts=frozenset({"none", "minimal", "low", "medium", "high"}))
MISTRAL: Final = Target(name="mistral", user_field=None)
PERPLEXITY: Final = Target(name="perplexity", user_field=None)
OPENROUTER: Final = Target(name="openrouter", top_k=True)
CEREBRAS: Final = Target(name="cerebras")
XAI: Final = Target(name="xai")
FIREWORKS: Final = Target(name="fireworks", top_k=True)
PARASAIL: Final = Target(name="parasail")
NEBIUS: Final = Target(name="nebius")
HUGGINGFACE: Final = Target(name="huggingface")
