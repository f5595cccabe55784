"""Rules that translate a Messages request to a Chat Completions request, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import (
    NO_STREAM,
    Ignored,
    Mapped,
    MappedIfSupported,
    Rejected,
    RejectedFields,
    Rule,
    field_rules,
    model_rules,
)
from batchgate_api import messages as m

_CACHE: Final = Ignored("it affects costs, not answers; Chat Completions servers cache prompts automatically")
_TOOLSET: Final = Rejected("toolsets are built-in tools of Anthropic; declare a custom tool instead")
_ANTHROPIC_ONLY: Final = "only Anthropic supports it; leave it out, or send the request to the provider anthropic"
_ANTHROPIC_BLOCK: Final = "only Anthropic supports this block type; leave the block out"

_REQUEST: Final = field_rules(
    m.MessageParams,
    model=Mapped("model, without the account's prefix"),
    messages=Mapped("messages"),
    max_tokens=MappedIfSupported("max_completion_tokens or max_tokens; 0 is rejected", "max_tokens_field"),
    system=Mapped("a leading system message"),
    temperature=Mapped("temperature"),
    top_p=Mapped("top_p"),
    top_k=MappedIfSupported("top_k", "top_k"),
    stop_sequences=MappedIfSupported("stop, up to the limit of the server", "stop_limit"),
    stream=Rejected(NO_STREAM),
    metadata=Mapped("see Metadata"),
    service_tier=MappedIfSupported(
        "auto as auto, standard_only as default; left out if the server has only one tier", "service_tiers"
    ),
    thinking=Mapped("see ThinkingEnabled, ThinkingAdaptive and ThinkingDisabled"),
    tools=Mapped("tools with the type function; built-in tools of Anthropic are rejected"),
    tool_choice=MappedIfSupported("tool_choice and parallel_tool_calls", "tool_choice"),
    output_config=Mapped("see OutputConfig"),
    output_format=Mapped("response_format with the type json_schema"),
    cache_control=_CACHE,
    container=Rejected(_ANTHROPIC_ONLY),
    diagnostics=Rejected(_ANTHROPIC_ONLY),
    inference_geo=Rejected("only Anthropic supports it; choose an account in that region and leave it out"),
    speed=Rejected("batches do not support it; leave it out"),
    user_profile_id=Rejected(_ANTHROPIC_ONLY),
    workspace_id=Rejected(_ANTHROPIC_ONLY),
    mcp_servers=Rejected("only Anthropic calls MCP servers; declare their tools as custom tools and run them yourself"),
    context_management=Rejected(_ANTHROPIC_ONLY),
    compaction=Rejected(_ANTHROPIC_ONLY),
    billing_policy=Rejected(_ANTHROPIC_ONLY),
    fallbacks=Rejected(_ANTHROPIC_ONLY),
    fallback_credit_token=Rejected(_ANTHROPIC_ONLY),
    thread=Rejected(_ANTHROPIC_ONLY),
)

_SETTINGS: Final = (
    *field_rules(m.Metadata, user_id=MappedIfSupported("safety_identifier or user", "user_field")),
    *field_rules(
        m.OutputConfig,
        effort=MappedIfSupported("reasoning_effort of the same name", "efforts"),
        format=Mapped("response_format with the type json_schema, strict"),
        task_budget=Rejected(_ANTHROPIC_ONLY),
    ),
    *field_rules(m.JsonOutputFormat, type=Mapped("type"), schema=Mapped("json_schema.schema, byte for byte")),
    *field_rules(
        m.ThinkingEnabled,
        budget_tokens=MappedIfSupported("thinking_token_budget", "thinking_budget"),
        display=Ignored("it changes which reasoning is returned, not the answer; the server decides what it returns"),
        block_binding=Rejected(_ANTHROPIC_ONLY),
    ),
    *model_rules(MappedIfSupported("reasoning_effort none", "efforts"), m.ThinkingDisabled),
    *model_rules(Rejected("Chat Completions has no such setting; use adaptive"), m.ThinkingBetweenTools),
    *field_rules(
        m.ThinkingAdaptive,
        display=Ignored("it changes which reasoning is returned, not the answer; the server decides what it returns"),
        block_binding=Rejected(_ANTHROPIC_ONLY),
    ),
    *field_rules(m.CacheControl, type=_CACHE, ttl=_CACHE),
    *model_rules(Rejected(_ANTHROPIC_ONLY), m.ContainerParams),
)

_TOOLS: Final = (
    *field_rules(
        m.CustomTool,
        type=Mapped("function"),
        name=Mapped("function.name"),
        description=Mapped("function.description"),
        input_schema=Mapped("function.parameters, byte for byte"),
        strict=MappedIfSupported("function.strict", "strict_tools"),
        cache_control=_CACHE,
        allowed_callers=Mapped("left out if direct, as every call is direct there; others are rejected"),
        defer_loading=Rejected("Chat Completions has no tool search; declare the tool without it"),
        eager_input_streaming=Ignored("it affects only streaming, and batches do not stream"),
        input_examples=Rejected("Chat Completions has no such field; put the examples into the description"),
    ),
    *field_rules(
        m.ToolChoiceAuto,
        disable_parallel_tool_use=MappedIfSupported("parallel_tool_calls false", "parallel_tool_calls"),
    ),
    *field_rules(
        m.ToolChoiceAny, disable_parallel_tool_use=MappedIfSupported("parallel_tool_calls false", "parallel_tool_calls")
    ),
    *field_rules(
        m.ToolChoiceTool,
        name=Mapped("function.name"),
        disable_parallel_tool_use=MappedIfSupported("parallel_tool_calls false", "parallel_tool_calls"),
    ),
    *model_rules(Mapped("tool_choice none"), m.ToolChoiceNone),
)

_TURNS: Final = (
    *field_rules(
        m.UserMessageParam, content=Mapped("messages with the role tool for tool results, then one with the role user")
    ),
    *field_rules(m.AssistantMessageParam, content=Mapped("content and tool_calls of an assistant message")),
    *field_rules(
        m.SystemMessageParam,
        content=Mapped("a message with the role system"),
        clear_at=Rejected("Chat Completions cannot remove instructions; leave it out"),
        output_config=Rejected("Chat Completions has one effort for the whole request; set it in the request"),
    ),
    *field_rules(
        m.TextBlockParam,
        text=Mapped("a text part"),
        cache_control=_CACHE,
        citations=Rejected("Chat Completions has no citations; leave them out"),
    ),
    *field_rules(
        m.ImageBlockParam,
        source=Mapped("image_url"),
        cache_control=_CACHE,
        transformations=Rejected(_ANTHROPIC_ONLY),
    ),
    *field_rules(m.Base64ImageSource, media_type=Mapped("a data URL"), data=Mapped("a data URL")),
    *field_rules(m.UrlImageSource, url=MappedIfSupported("image_url.url", "image_urls")),
    *model_rules(
        Rejected("only Anthropic can read the file; send the image as base64 or by its URL"),
        m.FileImageSource,
    ),
    *field_rules(
        m.ThinkingBlockParam,
        thinking=MappedIfSupported("reasoning or reasoning_content", "reasoning_field"),
        signature=Ignored("only Anthropic can verify it"),
    ),
    *field_rules(
        m.ToolUseBlockParam,
        id=Mapped("tool_calls.id; one that the server does not accept is replaced (`tool_ids`)"),
        name=Mapped("function.name"),
        input=Mapped("function.arguments, byte for byte"),
        cache_control=_CACHE,
        caller=Mapped("left out if direct, as every call is direct there; others are rejected"),
        toolset_name=_TOOLSET,
    ),
    *field_rules(
        m.ToolResultBlockParam,
        tool_use_id=Mapped("tool_call_id, that of its call"),
        content=Mapped("content; only text"),
        is_error=Mapped("the prefix Error: in the content"),
        cache_control=_CACHE,
        toolset_name=_TOOLSET,
    ),
)

_BLOCKS: Final = (
    *model_rules(
        Rejected("Chat Completions has no document blocks; send the document's text as a text block"),
        m.DocumentBlockParam,
    ),
    *model_rules(
        Rejected("Chat Completions has no search_result blocks; send the result as a text block"),
        m.SearchResultBlockParam,
    ),
    *model_rules(
        Rejected("only Anthropic can read redacted thinking; leave the block out"), m.RedactedThinkingBlockParam
    ),
    *model_rules(
        Rejected(_ANTHROPIC_BLOCK),
        m.ServerToolUseBlockParam,
        m.WebSearchToolResultBlockParam,
        m.WebFetchToolResultBlockParam,
        m.CodeExecutionToolResultBlockParam,
        m.BashCodeExecutionToolResultBlockParam,
        m.TextEditorCodeExecutionToolResultBlockParam,
        m.ToolSearchToolResultBlockParam,
        m.AdvisorToolResultBlockParam,
        m.McpToolUseBlockParam,
        m.McpToolResultBlockParam,
        m.McpToolListingBlockParam,
        m.ContainerUploadBlockParam,
        m.CompactionBlockParam,
        m.FallbackBlockParam,
        m.ToolReferenceBlockParam,
        m.BrowserStateBlockParam,
    ),
    *model_rules(
        Rejected("Chat Completions cannot change tools during a conversation; list them all in tools"),
        m.ToolAdditionBlockParam,
        m.ToolRemovalBlockParam,
    ),
)

MESSAGES_TO_CHAT: Final[tuple[Rule, ...]] = (*_REQUEST, *_SETTINGS, *_TOOLS, *_TURNS, *_BLOCKS)
"""Every field of every model of a Messages request and its translation."""

REJECTED: Final = RejectedFields(MESSAGES_TO_CHAT)
"""The fields and models that `MESSAGES_TO_CHAT` rejects; the translation checks every part with it."""
