"""What a server of OpenAI's dialect can be told: the table that translations ask instead of the provider's name."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from batchgate.engine.model.provider_call import RowKind

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

EFFORTS: Final[frozenset[Effort]] = frozenset(get_args(Effort))


class ServerCapabilities(Struct, frozen=True, kw_only=True):
    """One kind of server: which fields it has, by which names, and what it honours.

    The defaults are the core that every server which calls itself compatible with OpenAI has. What a
    server is not known to honour is off, so that a request is refused by name instead of half obeyed.
    """

    name: str
    """The provider's name, as it stands in messages."""
    serves: frozenset[RowKind] = frozenset({"chat_completions"})
    """The kinds of rows that it takes as they are; those of Messages and Responses are translated otherwise."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    user_field: Literal["safety_identifier", "user"] | None = "user"
    """Where metadata.user_id goes."""
    stop_limit: int | None = None
    """The most stop sequences in a request."""
    top_k: bool = False
    efforts: frozenset[Effort] = frozenset()
    """The values of reasoning_effort; with ``none`` thinking can be switched off."""
    thinking_budget: bool = False
    """Has thinking_token_budget."""
    reasoning_field: Literal["reasoning", "reasoning_content"] | None = None
    """Where an assistant turn holds what the model thought."""
    prefill: bool = False
    """Continues a last assistant turn (continue_final_message)."""
    image_urls: bool = True
    """Fetches images by URL; base64 is taken by all."""
    tool_choice: bool = True
    parallel_tool_calls: bool = True
    strict_tools: bool = False
    service_tiers: bool = False
    """Has OpenAI's service_tier; the others have one tier only, which is then both auto and standard."""
    openai_fields: bool = False
    """Has OpenAI's own things: the role developer, tools of free text, verbosity, moderation, its store, its cache."""
    logprobs: bool = False
    """Tells the probabilities of tokens."""


ALL_CHAT_COMPLETIONS: Final = ServerCapabilities(
    name="Chat Completions",
    max_tokens_field="max_completion_tokens",
    user_field="safety_identifier",
    top_k=True,
    efforts=EFFORTS,
    thinking_budget=True,
    reasoning_field="reasoning_content",
    prefill=True,
    strict_tools=True,
    service_tiers=True,
    openai_fields=True,
    logprobs=True,
)
"""All that Chat Completions can say, at any server: the stop on the way between two other dialects."""
