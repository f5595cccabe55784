"""The rules by which a Messages request becomes a Chat Completions request: every field of every model, as data."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import NO_STREAM, ByTarget, Hint, Mapped, Refusals, Refused, Rule, fields, whole
from batchgate_api import messages as m

_CACHE: Final = Hint("it moves costs, not answers; servers of Chat Completions cache prompts by themselves")
_TOOLSET: Final = Refused("toolsets are Anthropic's own tools; declare a custom tool instead")
_ANTHROPIC_ONLY: Final = "only Anthropic has it; send the request to the provider anthropic or leave it out"
_ANSWERS_ONLY: Final = "such blocks come from features of Anthropic's servers; leave the block out"

_REQUEST: Final = fields(
    m.MessageParams,
    model=Mapped("model, without the account's prefix"),
    messages=Mapped("messages"),
    max_tokens=ByTarget("max_completion_tokens or max_tokens; 0 is refused", "max_tokens_field"),
    system=Mapped("a first message of the role system"),
    temperature=Mapped("temperature"),
    top_p=Mapped("top_p"),
    top_k=ByTarget("top_k", "top_k"),
    stop_sequences=ByTarget("stop, up to the number that the server takes", "stop_limit"),
    stream=Refused(NO_STREAM),
    metadata=Mapped("see Metadata"),
    service_tier=ByTarget(
        "auto as auto, standard_only as default; nothing where there is one tier only", "service_tiers"
    ),
    thinking=Mapped("see ThinkingEnabled and the others"),
    tools=Mapped("tools of the type function; Anthropic's own tools are refused"),
    tool_choice=ByTarget("tool_choice and parallel_tool_calls", "tool_choice"),
    output_config=Mapped("see OutputConfig"),
    output_format=Mapped("response_format of the type json_schema"),
    cache_control=_CACHE,
    container=Refused(_ANTHROPIC_ONLY),
    diagnostics=Refused(_ANTHROPIC_ONLY),
    inference_geo=Refused("the region cannot be promised elsewhere; choose an account in that region and leave it out"),
    speed=Refused("a batch has no speeds to choose from; leave it out"),
    user_profile_id=Refused(_ANTHROPIC_ONLY),
    workspace_id=Refused(_ANTHROPIC_ONLY),
    mcp_servers=Refused("only Anthropic calls MCP servers; declare their tools as custom tools and call them yourself"),
    context_management=Refused(_ANTHROPIC_ONLY),
    compaction=Refused(_ANTHROPIC_ONLY),
    billing_policy=Refused(_ANTHROPIC_ONLY),
    fallbacks=Refused(_ANTHROPIC_ONLY),
    fallback_credit_token=Refused(_ANTHROPIC_ONLY),
    thread=Refused(_ANTHROPIC_ONLY),
)

_SETTINGS: Final = (
    *fields(m.Metadata, user_id=ByTarget("safety_identifier or user", "user_field")),
    *fields(
        m.OutputConfig,
        effort=ByTarget("reasoning_effort of the same name", "efforts"),
        format=Mapped("response_format of the type json_schema, strict"),
        task_budget=Refused(_ANTHROPIC_ONLY),
    ),
    *fields(m.JsonOutputFormat, type=Mapped("type"), schema=Mapped("json_schema.schema, byte for byte")),
    *fields(
        m.ThinkingEnabled,
        budget_tokens=ByTarget("thinking_token_budget", "thinking_budget"),
        display=Hint("it changes what is shown of the thinking, not the answer; the server decides what it shows"),
        block_binding=Refused(_ANTHROPIC_ONLY),
    ),
    *whole(ByTarget("reasoning_effort none", "efforts"), m.ThinkingDisabled),
    *whole(Refused("no server of Chat Completions can be told so; use adaptive"), m.ThinkingBetweenTools),
    *fields(
        m.ThinkingAdaptive,
        display=Hint("it changes what is shown of the thinking, not the answer; the server decides what it shows"),
        block_binding=Refused(_ANTHROPIC_ONLY),
    ),
    *fields(m.CacheControl, type=_CACHE, ttl=_CACHE),
    *whole(Refused(_ANTHROPIC_ONLY), m.ContainerParams),
)

_TOOLS: Final = (
    *fields(
        m.CustomTool,
        type=Mapped("function"),
        name=Mapped("function.name"),
        description=Mapped("function.description"),
        input_schema=Mapped("function.parameters, byte for byte"),
        strict=ByTarget("function.strict", "strict_tools"),
        cache_control=_CACHE,
        allowed_callers=Mapped("direct, which is how every tool is called there; others are refused"),
        defer_loading=Refused("there is no search for tools; declare the tool without it"),
        eager_input_streaming=Hint("it concerns streams, and a batch does not stream"),
        input_examples=Refused("put the examples into the description"),
    ),
    *fields(m.ToolChoiceAuto, disable_parallel_tool_use=ByTarget("parallel_tool_calls false", "parallel_tool_calls")),
    *fields(m.ToolChoiceAny, disable_parallel_tool_use=ByTarget("parallel_tool_calls false", "parallel_tool_calls")),
    *fields(
        m.ToolChoiceTool,
        name=Mapped("function.name"),
        disable_parallel_tool_use=ByTarget("parallel_tool_calls false", "parallel_tool_calls"),
    ),
    *whole(Mapped("tool_choice none"), m.ToolChoiceNone),
)

_TURNS: Final = (
    *fields(
        m.UserMessageParam, content=Mapped("messages of the role tool for tool results, then one of the role user")
    ),
    *fields(m.AssistantMessageParam, content=Mapped("content and tool_calls of a message of the role assistant")),
    *fields(
        m.SystemMessageParam,
        content=Mapped("a message of the role system"),
        clear_at=Refused("instructions elsewhere hold until the end; leave it out"),
        output_config=Refused("elsewhere one effort holds for the whole request; set it there"),
    ),
    *fields(
        m.TextBlockParam,
        text=Mapped("a text part"),
        cache_control=_CACHE,
        citations=Refused("there are no citations; leave them out of the turn"),
    ),
    *fields(
        m.ImageBlockParam,
        source=Mapped("image_url"),
        cache_control=_CACHE,
        transformations=Refused(_ANTHROPIC_ONLY),
    ),
    *fields(m.Base64ImageSource, media_type=Mapped("a data URL"), data=Mapped("a data URL")),
    *fields(m.UrlImageSource, url=ByTarget("image_url.url", "image_urls")),
    *whole(
        Refused("only Anthropic has the file; send the image as base64 or by its URL"),
        m.FileImageSource,
    ),
    *fields(
        m.ThinkingBlockParam,
        thinking=ByTarget("reasoning or reasoning_content", "reasoning_field"),
        signature=Hint("only Anthropic can check it"),
    ),
    *fields(
        m.ToolUseBlockParam,
        id=Mapped("tool_calls.id"),
        name=Mapped("function.name"),
        input=Mapped("function.arguments, byte for byte"),
        cache_control=_CACHE,
        caller=Mapped("direct, which is who calls every tool there; others are refused"),
        toolset_name=_TOOLSET,
    ),
    *fields(
        m.ToolResultBlockParam,
        tool_use_id=Mapped("tool_call_id"),
        content=Mapped("content; texts only"),
        is_error=Mapped("the word Error before the content"),
        cache_control=_CACHE,
        toolset_name=_TOOLSET,
    ),
)

_BLOCKS: Final = (
    *whole(
        Refused("document blocks have no form in Chat Completions; send the document's text as a text block"),
        m.DocumentBlockParam,
    ),
    *whole(
        Refused("search_result blocks have no form in Chat Completions; send the result as a text block"),
        m.SearchResultBlockParam,
    ),
    *whole(Refused("only Anthropic can read redacted thinking; leave the block out"), m.RedactedThinkingBlockParam),
    *whole(
        Refused(_ANSWERS_ONLY),
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
    *whole(
        Refused("the tools are the same for the whole request there; list them all in tools"),
        m.ToolAdditionBlockParam,
        m.ToolRemovalBlockParam,
    ),
)

MESSAGES_TO_CHAT: Final[tuple[Rule, ...]] = (*_REQUEST, *_SETTINGS, *_TOOLS, *_TURNS, *_BLOCKS)
"""Every field of every model of a Messages request, and what becomes of it."""

REFUSALS: Final = Refusals(MESSAGES_TO_CHAT)
"""The refusals among `MESSAGES_TO_CHAT`; the translation asks them for every part."""
