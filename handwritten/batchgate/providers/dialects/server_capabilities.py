"""Capabilities of OpenAI-compatible servers. Translations use them instead of the provider's name."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.tool_call_ids import ToolIdRule

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

EFFORTS: Final[frozenset[Effort]] = frozenset(get_args(Effort))


class ServerCapabilities(Struct, frozen=True, kw_only=True):
    """What one kind of server supports, and its names of fields.

    The defaults are what every OpenAI-compatible server supports. A feature that a server is not known to support is
    off: a request that uses it is rejected, and not sent with the risk that the server ignores it.
    """

    name: str
    """The provider's name in messages."""
    serves: frozenset[RowKind] = frozenset({"chat_completions"})
    """The kinds of rows that are sent unchanged; other conversations are translated to Chat Completions."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    user_field: Literal["safety_identifier", "user"] | None = "user"
    """The field for metadata.user_id."""
    stop_limit: int | None = None
    """The maximum number of stop sequences in a request."""
    top_k: bool = False
    efforts: frozenset[Effort] = frozenset()
    """The supported values of reasoning_effort; ``none`` turns thinking off."""
    thinking_budget: bool = False
    """Supports thinking_token_budget."""
    reasoning_field: Literal["reasoning", "reasoning_content"] | None = None
    """The field of an assistant message that holds the model's reasoning."""
    prefill: bool = False
    """Continues a last assistant message (continue_final_message)."""
    image_urls: bool = True
    """Downloads images by URL; every server accepts base64."""
    tool_choice: bool = True
    parallel_tool_calls: bool = True
    strict_tools: bool = False
    schema_format: Literal["json_schema", "json_object"] = "json_schema"
    """The response_format that has the schema of an answer."""
    service_tiers: bool = False
    """Supports OpenAI's service_tier; other servers have one tier, for both auto and standard."""
    openai_fields: bool = False
    """Supports what only OpenAI has: role developer, custom tools, verbosity, moderation, store, prompt cache."""
    logprobs: bool = False
    """Returns log probabilities of tokens."""
    thought_signatures: bool = False
    """Takes the thought signatures of Gemini with its tool calls."""
    tool_ids: ToolIdRule | None = None
    """The ids of tool calls that the server accepts, if it restricts them."""


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
    thought_signatures=True,
)
"""Every feature of Chat Completions at any server: the intermediate step between two other dialects."""
