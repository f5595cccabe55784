"""The rules by which a Messages request becomes a Chat Completions request: every field of every model, as data."""

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

_CACHE: Final = Ignored("it moves costs, not answers; servers of Chat Completions cache prompts by themselves")
_TOOLSET: Final = Rejected("toolsets are Anthropic's own tools; declare a custom tool instead")
_ANTHROPIC_ONLY: Final = "only Anthropic has it; send the request to the provider anthropic or leave it out"
_ANSWERS_ONLY: Final = "such blocks come from features of Anthropic's servers; leave the block out"

_REQUEST: Final = field_rules(
    m.MessageParams,
    model=Mapped("model, without the account's prefix"),
    messages=Mapped("messages"),
    max_tokens=MappedIfSupported("max_completion_tokens or max_tokens; 0 is refused", "max_tokens_field"),
    system=Mapped("a first message of the role system"),
    temperature=Mapped("temperature"),
    top_p=Mapped("top_p"),
    top_k=MappedIfSupported("top_k", "top_k"),
    stop_sequences=MappedIfSupported("stop, up to the number that the server takes", "stop_limit"),
    stream=Rejected(NO_STREAM),
    metadata=Mapped("see Metadata"),
    service_tier=MappedIfSupported(
        "auto as auto, standard_only as default; nothing where there is one tier only", "service_tiers"
    ),
    thinking=Mapped("see ThinkingEnabled and the others"),
    tools=Mapped("tools of the type function; Anthropic's own tools are refused"),
    tool_choice=MappedIfSupported("tool_choice and parallel_tool_calls", "tool_choice"),
    output_config=Mapped("see OutputConfig"),
    output_format=Mapped("response_format of the type json_schema"),
    cache_control=_CACHE,
    container=Rejected(_ANTHROPIC_ONLY),
    diagnostics=Rejected(_ANTHROPIC_ONLY),
    inference_geo=Rejected(
        "the region cannot be promised elsewhere; choose an account in that region and leave it out"
    ),
    speed=Rejected("a batch has no speeds to choose from; leave it out"),
    user_profile_id=Rejected(_ANTHROPIC_ONLY),
    workspace_id=Rejected(_ANTHROPIC_ONLY),
    mcp_servers=Rejected(
        "only Anthropic calls MCP servers; declare their tools as custom tools and call them yourself"
    ),
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
        format=Mapped("response_format of the type json_schema, strict"),
        task_budget=Rejected(_ANTHROPIC_ONLY),
    ),
    *field_rules(m.JsonOutputFormat, type=Mapped("type"), schema=Mapped("json_schema.schema, byte for byte")),
    *field_rules(
        m.ThinkingEnabled,
        budget_tokens=MappedIfSupported("thinking_token_budget", "thinking_budget"),
        display=Ignored("it changes what is shown of the thinking, not the answer; the server decides what it shows"),
        block_binding=Rejected(_ANTHROPIC_ONLY),
    ),
    *model_rules(MappedIfSupported("reasoning_effort none", "efforts"), m.ThinkingDisabled),
    *model_rules(Rejected("no server of Chat Completions can be told so; use adaptive"), m.ThinkingBetweenTools),
    *field_rules(
        m.ThinkingAdaptive,
        display=Ignored("it changes what is shown of the thinking, not the answer; the server decides what it shows"),
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
        allowed_callers=Mapped("direct, which is how every tool is called there; others are refused"),
        defer_loading=Rejected("there is no search for tools; declare the tool without it"),
        eager_input_streaming=Ignored("it concerns streams, and a batch does not stream"),
        input_examples=Rejected("put the examples into the description"),
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
        m.UserMessageParam, content=Mapped("messages of the role tool for tool results, then one of the role user")
    ),
    *field_rules(m.AssistantMessageParam, content=Mapped("content and tool_calls of a message of the role assistant")),
    *field_rules(
        m.SystemMessageParam,
        content=Mapped("a message of the role system"),
        clear_at=Rejected("instructions elsewhere hold until the end; leave it out"),
        output_config=Rejected("elsewhere one effort holds for the whole request; set it there"),
    ),
    *field_rules(
        m.TextBlockParam,
        text=Mapped("a text part"),
        cache_control=_CACHE,
        citations=Rejected("there are no citations; leave them out of the turn"),
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
        Rejected("only Anthropic has the file; send the image as base64 or by its URL"),
        m.FileImageSource,
    ),
    *field_rules(
        m.ThinkingBlockParam,
        thinking=MappedIfSupported("reasoning or reasoning_content", "reasoning_field"),
        signature=Ignored("only Anthropic can check it"),
    ),
    *field_rules(
        m.ToolUseBlockParam,
        id=Mapped("tool_calls.id"),
        name=Mapped("function.name"),
        input=Mapped("function.arguments, byte for byte"),
        cache_control=_CACHE,
        caller=Mapped("direct, which is who calls every tool there; others are refused"),
        toolset_name=_TOOLSET,
    ),
    *field_rules(
        m.ToolResultBlockParam,
        tool_use_id=Mapped("tool_call_id"),
        content=Mapped("content; texts only"),
        is_error=Mapped("the word Error before the content"),
        cache_control=_CACHE,
        toolset_name=_TOOLSET,
    ),
)

_BLOCKS: Final = (
    *model_rules(
        Rejected("document blocks have no form in Chat Completions; send the document's text as a text block"),
        m.DocumentBlockParam,
    ),
    *model_rules(
        Rejected("search_result blocks have no form in Chat Completions; send the result as a text block"),
        m.SearchResultBlockParam,
    ),
    *model_rules(
        Rejected("only Anthropic can read redacted thinking; leave the block out"), m.RedactedThinkingBlockParam
    ),
    *model_rules(
        Rejected(_ANSWERS_ONLY),
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
        Rejected("the tools are the same for the whole request there; list them all in tools"),
        m.ToolAdditionBlockParam,
        m.ToolRemovalBlockParam,
    ),
)

MESSAGES_TO_CHAT: Final[tuple[Rule, ...]] = (*_REQUEST, *_SETTINGS, *_TOOLS, *_TURNS, *_BLOCKS)
"""Every field of every model of a Messages request, and what becomes of it."""

REJECTED: Final = RejectedFields(MESSAGES_TO_CHAT)
"""The refusals among `MESSAGES_TO_CHAT`; the translation asks them for every part."""
