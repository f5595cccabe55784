"""What a server of Chat Completions can be told: the table that translations ask instead of the provider's name."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Target(Struct, frozen=True, kw_only=True):
    """One kind of server: which fields it has, by which names, and what it honours.

    The defaults are the core that every server which calls itself compatible with OpenAI has. What a
    server is not known to honour is off, so that a request is refused by name instead of half obeyed.
    """

    name: str
    """The provider's name, as it stands in messages."""
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
