"""Rules that translate a Responses request to a Chat Completions request, one rule for each field of each model."""

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
from batchgate_api import responses as r

_CACHE: Final = Mapped("the same for OpenAI; left out for other servers, as it affects costs, not answers")
_METADATA: Final = Mapped("the same for OpenAI; left out for other servers, as the model does not see it")
_STORED: Final = "only OpenAI can look it up; write its content into the input"
_OPENAI_ONLY: Final = Rejected("only the Responses API of OpenAI supports it; leave it out")
_ITEM_STATE: Final = Ignored("the model does not see the ids and states of items")
_DIRECT: Final = Mapped("left out if direct, as every call is direct there; others are rejected")
_NO_SEARCH: Final = Rejected("Chat Completions has no tool search; declare the tool without it")
_NO_NAMESPACES: Final = Rejected("Chat Completions has no tool namespaces; put the namespace into the name")
_NO_ASYNC: Final = Rejected("Chat Completions has no asynchronous tool calls; leave it out")
_CUSTOM_TOOLS: Final = "openai_fields"

_REQUEST: Final = field_rules(
    r.ResponsesRequest,
    model=Mapped("model, without the account's prefix"),
    input=Mapped("messages; a text is a user message"),
    instructions=Mapped("a leading system message"),
    max_output_tokens=MappedIfSupported("max_completion_tokens or max_tokens", "max_tokens_field"),
    temperature=Mapped("temperature"),
    top_p=Mapped("top_p"),
    top_logprobs=MappedIfSupported("top_logprobs", "logprobs"),
    tools=Mapped("tools with the types function and custom; built-in tools of OpenAI are rejected"),
    tool_choice=MappedIfSupported("tool_choice", "tool_choice"),
    parallel_tool_calls=MappedIfSupported("parallel_tool_calls", "parallel_tool_calls"),
    max_tool_calls=Ignored("it limits calls of built-in tools of OpenAI, and there are none"),
    text=Mapped("see ResponsesTextConfig"),
    reasoning=Mapped("see ResponsesReasoningConfig"),
    include=Mapped(
        "logprobs for message.output_text.logprobs; reasoning.encrypted_content is left out, as nothing is encrypted "
        "there; others are rejected"
    ),
    metadata=_METADATA,
    safety_identifier=MappedIfSupported("safety_identifier or user", "user_field"),
    user=MappedIfSupported(
        "user or safety_identifier; rejected if they differ and the server has one field", "user_field"
    ),
    service_tier=MappedIfSupported("service_tier; auto and default are left out for other servers", "service_tiers"),
    store=Mapped("store for OpenAI, which stores responses by default; left out for other servers"),
    prompt_cache_key=_CACHE,
    prompt_cache_options=_CACHE,
    prompt_cache_retention=_CACHE,
    truncation=Rejected("Chat Completions does not truncate inputs; leave it out", accepted=("disabled",)),
    stream=Rejected(NO_STREAM),
    stream_options=Ignored("it affects only streaming, and batches do not stream"),
    background=Ignored("batch requests always run in the background"),
    background_options=Ignored("batch requests always run in the background"),
    previous_response_id=Rejected(_STORED),
    conversation=Rejected(_STORED),
    prompt=Rejected(_STORED),
    context_management=_OPENAI_ONLY,
    moderation=MappedIfSupported("moderation, byte for byte", "openai_fields"),
    access_programs=_OPENAI_ONLY,
    image=_OPENAI_ONLY,
)

_SETTINGS: Final = (
    *field_rules(
        r.ResponsesTextConfig,
        format=Mapped("response_format"),
        verbosity=MappedIfSupported("verbosity; medium is the default", "openai_fields"),
    ),
    *model_rules(Mapped("response_format text"), r.ResponsesPlainFormat),
    *model_rules(Mapped("response_format json_object"), r.ResponsesJsonObjectFormat),
    *field_rules(
        r.ResponsesJsonSchemaFormat,
        name=Mapped("json_schema.name"),
        schema=Mapped("json_schema.schema, byte for byte"),
        description=Mapped("json_schema.description"),
        strict=Mapped("json_schema.strict"),
    ),
    *field_rules(
        r.ResponsesReasoningConfig,
        effort=MappedIfSupported("reasoning_effort of the same name", "efforts"),
        summary=Ignored("it changes which reasoning is returned, not the answer; the server decides what it returns"),
        generate_summary=Ignored("it changes which reasoning is returned, not the answer"),
        context=Rejected("only OpenAI keeps the reasoning of earlier turns; leave it out", accepted=("auto",)),
        mode=Rejected("only the Responses API of OpenAI supports it; leave it out", accepted=("standard",)),
    ),
    *field_rules(
        r.ResponsesPromptCacheOptions,
        mode=_CACHE,
        ttl=_CACHE,
        prewarm=Rejected("it only warms the cache, and a batch request must produce an answer; leave it out"),
        comparison_response_id=_OPENAI_ONLY,
    ),
    *field_rules(r.ResponsesPromptCacheBreakpoint, mode=_CACHE, ttl=_CACHE),
)

_TOOLS: Final = (
    *field_rules(
        r.ResponsesFunctionTool,
        type=Mapped("function"),
        name=Mapped("function.name"),
        description=Mapped("function.description"),
        parameters=Mapped("function.parameters, byte for byte"),
        strict=MappedIfSupported("function.strict; left out if not set", "strict_tools"),
        async_=_NO_ASYNC,
        allowed_callers=_DIRECT,
        defer_loading=_NO_SEARCH,
        output_schema=Rejected("Chat Completions has no such field; put it into the description"),
    ),
    *field_rules(
        r.ResponsesCustomTool,
        type=MappedIfSupported("custom", _CUSTOM_TOOLS),
        name=MappedIfSupported("custom.name", _CUSTOM_TOOLS),
        description=MappedIfSupported("custom.description", _CUSTOM_TOOLS),
        format=MappedIfSupported("custom.format", _CUSTOM_TOOLS),
        async_=_NO_ASYNC,
        allowed_callers=_DIRECT,
        defer_loading=_NO_SEARCH,
    ),
    *field_rules(
        r.ResponsesToolFormat,
        type=MappedIfSupported("type", _CUSTOM_TOOLS),
        definition=MappedIfSupported("grammar.definition", _CUSTOM_TOOLS),
        syntax=MappedIfSupported("grammar.syntax", _CUSTOM_TOOLS),
    ),
    *field_rules(
        r.ResponsesNamedToolChoice,
        type=Mapped("function, custom or allowed_tools; built-in tools of OpenAI are rejected"),
        name=Mapped("name of the function or of the custom tool"),
        server_label=Rejected("only OpenAI calls MCP servers; declare their tools as functions"),
        mode=Mapped("allowed_tools.mode"),
        tools=MappedIfSupported("allowed_tools.tools", "openai_fields"),
    ),
    *field_rules(
        r.ResponsesNamedTool,
        type=Mapped("function or custom; built-in tools of OpenAI are rejected"),
        name=Mapped("name"),
        server_label=Rejected("only OpenAI calls MCP servers; declare their tools as functions"),
    ),
)

_ITEMS: Final = (
    *field_rules(
        r.ResponsesMessage,
        type=Mapped("a message"),
        role=Mapped("role; developer becomes system for servers other than OpenAI"),
        content=Mapped("content"),
        id=_ITEM_STATE,
        status=_ITEM_STATE,
        phase=Rejected("Chat Completions has no commentary messages; leave it out", accepted=("final_answer",)),
    ),
    *field_rules(
        r.ResponsesFunctionCall,
        type=Mapped("tool_calls of one assistant message, with the text before it"),
        call_id=Mapped("tool_calls.id; one that the server does not accept is replaced (`tool_ids`)"),
        name=Mapped("function.name"),
        arguments=Mapped("function.arguments"),
        id=_ITEM_STATE,
        status=_ITEM_STATE,
        async_=_NO_ASYNC,
        caller=_DIRECT,
        namespace=_NO_NAMESPACES,
    ),
    *field_rules(
        r.ResponsesFunctionCallOutput,
        type=Mapped("a message with the role tool"),
        call_id=Mapped("tool_call_id, that of its call"),
        output=Mapped("content; only text"),
        id=_ITEM_STATE,
        status=_ITEM_STATE,
        caller=_DIRECT,
        name=Ignored("the tool call has the name"),
        namespace=_NO_NAMESPACES,
    ),
    *field_rules(
        r.ResponsesCustomToolCall,
        type=MappedIfSupported("tool_calls with the type custom", _CUSTOM_TOOLS),
        call_id=MappedIfSupported("tool_calls.id", _CUSTOM_TOOLS),
        name=MappedIfSupported("custom.name", _CUSTOM_TOOLS),
        input=MappedIfSupported("custom.input", _CUSTOM_TOOLS),
        id=_ITEM_STATE,
        status=_ITEM_STATE,
        async_=_NO_ASYNC,
        caller=_DIRECT,
        namespace=_NO_NAMESPACES,
    ),
    *field_rules(
        r.ResponsesCustomToolCallOutput,
        type=Mapped("a message with the role tool"),
        call_id=Mapped("tool_call_id, that of its call"),
        output=Mapped("content; only text"),
        id=_ITEM_STATE,
        status=_ITEM_STATE,
        caller=_DIRECT,
    ),
    *field_rules(
        r.ResponsesReasoning,
        type=MappedIfSupported(
            "reasoning or reasoning_content of the assistant message that follows", "reasoning_field"
        ),
        summary=Ignored("the content has the complete reasoning"),
        content=MappedIfSupported("reasoning or reasoning_content; required", "reasoning_field"),
        encrypted_content=Rejected("only OpenAI can read it; leave the item out"),
        id=_ITEM_STATE,
        status=_ITEM_STATE,
    ),
    *field_rules(
        r.ResponsesReasoningText, type=Mapped("see ResponsesReasoning"), text=Mapped("see ResponsesReasoning")
    ),
)

_NO_FILES: Final = Rejected("only OpenAI can read the file; send its content")

_PARTS: Final = (
    *field_rules(r.ResponsesInputText, text=Mapped("a text part"), prompt_cache_breakpoint=_CACHE),
    *field_rules(
        r.ResponsesInputImage,
        image_url=MappedIfSupported("image_url.url", "image_urls"),
        file_id=_NO_FILES,
        detail=Mapped("image_url.detail"),
        prompt_cache_breakpoint=_CACHE,
    ),
    *field_rules(
        r.ResponsesInputFile,
        file_data=Mapped("file.file_data"),
        file_id=_NO_FILES,
        file_url=Rejected("Chat Completions does not download files; send the content as file_data"),
        filename=Mapped("file.filename"),
        detail=Rejected("Chat Completions has no such field; leave it out", accepted=("auto",)),
        prompt_cache_breakpoint=_CACHE,
    ),
    *field_rules(r.ResponsesInputAudio, input_audio=Mapped("an input_audio part")),
    *field_rules(r.ResponsesAudio, data=Mapped("data"), format=Mapped("format")),
    *field_rules(
        r.ResponsesOutputText,
        text=Mapped("a text part"),
        annotations=Rejected("Chat Completions has no citations; leave them out"),
        logprobs=Ignored("the model does not see it"),
    ),
    *field_rules(r.ResponsesRefusal, refusal=Mapped("a refusal part")),
)

RESPONSES_TO_CHAT: Final[tuple[Rule, ...]] = (*_REQUEST, *_SETTINGS, *_TOOLS, *_ITEMS, *_PARTS)
"""Every field of every model of a Responses request and its translation to Chat Completions."""

REJECTED: Final = RejectedFields(RESPONSES_TO_CHAT)
"""The fields and models that `RESPONSES_TO_CHAT` rejects; the translation checks every part with it."""
