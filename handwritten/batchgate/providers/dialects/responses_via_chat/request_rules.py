"""The rules by which a Responses request becomes a Chat Completions request: every field of every model, as data."""

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

_COSTS: Final = Mapped(
    "the same where the server is OpenAI's; elsewhere it is left out, as it moves costs, not answers"
)
_NOTES: Final = Mapped("the same where the server is OpenAI's; elsewhere it is left out, as no model sees it")
_STORED: Final = "only OpenAI has what this names; write it into the input"
_OPENAI_ONLY: Final = Rejected("only OpenAI's Responses has it; leave it out")
_NAMES: Final = Ignored("OpenAI's own names and states of items, which no model sees")
_DIRECT: Final = Mapped("direct, which is how every tool is called there; others are refused")
_NO_SEARCH: Final = Rejected("there is no search for tools; declare the tool without it")
_NO_NAMESPACES: Final = Rejected("there are no namespaces of tools; put it into the name")
_NOT_LATER: Final = Rejected("tools are not called asynchronously there; leave it out")
_FREE_TEXT: Final = "openai_fields"

_REQUEST: Final = field_rules(
    r.ResponsesRequest,
    model=Mapped("model, without the account's prefix"),
    input=Mapped("messages; a text is a message of the user"),
    instructions=Mapped("a first message of the role system"),
    max_output_tokens=MappedIfSupported("max_completion_tokens or max_tokens", "max_tokens_field"),
    temperature=Mapped("temperature"),
    top_p=Mapped("top_p"),
    top_logprobs=MappedIfSupported("top_logprobs", "logprobs"),
    tools=Mapped("tools of the types function and custom; OpenAI's own tools are refused"),
    tool_choice=MappedIfSupported("tool_choice", "tool_choice"),
    parallel_tool_calls=MappedIfSupported("parallel_tool_calls", "parallel_tool_calls"),
    max_tool_calls=Ignored("it counts calls of OpenAI's own tools, and there are none"),
    text=Mapped("see ResponsesTextConfig"),
    reasoning=Mapped("see ResponsesReasoningConfig"),
    include=Mapped(
        "logprobs for message.output_text.logprobs; nothing for reasoning.encrypted_content, as nothing is encrypted "
        "there; others are refused"
    ),
    metadata=_NOTES,
    safety_identifier=MappedIfSupported("safety_identifier or user", "user_field"),
    user=MappedIfSupported(
        "user or safety_identifier; refused where the server has one field for two names", "user_field"
    ),
    service_tier=MappedIfSupported("service_tier; elsewhere auto and default are nothing", "service_tiers"),
    store=Mapped("store where the server is OpenAI's, which stores responses unless told otherwise; elsewhere nothing"),
    prompt_cache_key=_COSTS,
    prompt_cache_options=_COSTS,
    prompt_cache_retention=_COSTS,
    truncation=Rejected("inputs are not shortened there; leave it out", accepted=("disabled",)),
    stream=Rejected(NO_STREAM),
    stream_options=Ignored("it concerns streams, and a batch does not stream"),
    background=Ignored("a batch answers in the background anyway"),
    background_options=Ignored("a batch answers in the background anyway"),
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
        summary=Ignored("it changes what is shown of the reasoning, not the answer; the server decides what it shows"),
        generate_summary=Ignored("it changes what is shown of the reasoning, not the answer"),
        context=Rejected("only OpenAI keeps what was thought in earlier turns; leave it out", accepted=("auto",)),
        mode=Rejected("only OpenAI's Responses has it; leave it out", accepted=("standard",)),
    ),
    *field_rules(
        r.ResponsesPromptCacheOptions,
        mode=_COSTS,
        ttl=_COSTS,
        prewarm=Rejected("it only fills a cache, and a batch has to answer; leave it out"),
        comparison_response_id=_OPENAI_ONLY,
    ),
    *field_rules(r.ResponsesPromptCacheBreakpoint, mode=_COSTS, ttl=_COSTS),
)

_TOOLS: Final = (
    *field_rules(
        r.ResponsesFunctionTool,
        type=Mapped("function"),
        name=Mapped("function.name"),
        description=Mapped("function.description"),
        parameters=Mapped("function.parameters, byte for byte"),
        strict=MappedIfSupported("function.strict; what is not said is not asked for", "strict_tools"),
        async_=_NOT_LATER,
        allowed_callers=_DIRECT,
        defer_loading=_NO_SEARCH,
        output_schema=Rejected("there is no place for it; put it into the description"),
    ),
    *field_rules(
        r.ResponsesCustomTool,
        type=MappedIfSupported("custom", _FREE_TEXT),
        name=MappedIfSupported("custom.name", _FREE_TEXT),
        description=MappedIfSupported("custom.description", _FREE_TEXT),
        format=MappedIfSupported("custom.format", _FREE_TEXT),
        async_=_NOT_LATER,
        allowed_callers=_DIRECT,
        defer_loading=_NO_SEARCH,
    ),
    *field_rules(
        r.ResponsesToolFormat,
        type=MappedIfSupported("type", _FREE_TEXT),
        definition=MappedIfSupported("grammar.definition", _FREE_TEXT),
        syntax=MappedIfSupported("grammar.syntax", _FREE_TEXT),
    ),
    *field_rules(
        r.ResponsesNamedToolChoice,
        type=Mapped("function, custom or allowed_tools; OpenAI's own tools are refused"),
        name=Mapped("name of the function or of the tool of free text"),
        server_label=Rejected("only OpenAI calls MCP servers; declare their tools as functions"),
        mode=Mapped("allowed_tools.mode"),
        tools=MappedIfSupported("allowed_tools.tools", "openai_fields"),
    ),
    *field_rules(
        r.ResponsesNamedTool,
        type=Mapped("function or custom; OpenAI's own tools are refused"),
        name=Mapped("name"),
        server_label=Rejected("only OpenAI calls MCP servers; declare their tools as functions"),
    ),
)

_ITEMS: Final = (
    *field_rules(
        r.ResponsesMessage,
        type=Mapped("a message"),
        role=Mapped("role; developer is system where the server is not OpenAI's"),
        content=Mapped("content"),
        id=_NAMES,
        status=_NAMES,
        phase=Rejected("there are no comments on the way to an answer; leave it out", accepted=("final_answer",)),
    ),
    *field_rules(
        r.ResponsesFunctionCall,
        type=Mapped("tool_calls of one message of the assistant, with the text before it"),
        call_id=Mapped("tool_calls.id"),
        name=Mapped("function.name"),
        arguments=Mapped("function.arguments"),
        id=_NAMES,
        status=_NAMES,
        async_=_NOT_LATER,
        caller=_DIRECT,
        namespace=_NO_NAMESPACES,
    ),
    *field_rules(
        r.ResponsesFunctionCallOutput,
        type=Mapped("a message of the role tool"),
        call_id=Mapped("tool_call_id"),
        output=Mapped("content; texts only"),
        id=_NAMES,
        status=_NAMES,
        caller=_DIRECT,
        name=Ignored("the call has it"),
        namespace=_NO_NAMESPACES,
    ),
    *field_rules(
        r.ResponsesCustomToolCall,
        type=MappedIfSupported("tool_calls of the type custom", _FREE_TEXT),
        call_id=MappedIfSupported("tool_calls.id", _FREE_TEXT),
        name=MappedIfSupported("custom.name", _FREE_TEXT),
        input=MappedIfSupported("custom.input", _FREE_TEXT),
        id=_NAMES,
        status=_NAMES,
        async_=_NOT_LATER,
        caller=_DIRECT,
        namespace=_NO_NAMESPACES,
    ),
    *field_rules(
        r.ResponsesCustomToolCallOutput,
        type=Mapped("a message of the role tool"),
        call_id=Mapped("tool_call_id"),
        output=Mapped("content; texts only"),
        id=_NAMES,
        status=_NAMES,
        caller=_DIRECT,
    ),
    *field_rules(
        r.ResponsesReasoning,
        type=MappedIfSupported(
            "reasoning or reasoning_content of the message of the assistant that follows", "reasoning_field"
        ),
        summary=Ignored("the content says the same at length"),
        content=MappedIfSupported("reasoning or reasoning_content; required", "reasoning_field"),
        encrypted_content=Rejected("only OpenAI can read it; leave the item out"),
        id=_NAMES,
        status=_NAMES,
    ),
    *field_rules(
        r.ResponsesReasoningText, type=Mapped("see ResponsesReasoning"), text=Mapped("see ResponsesReasoning")
    ),
)

_NO_FILES: Final = Rejected("only OpenAI has the file; send its bytes")

_PARTS: Final = (
    *field_rules(r.ResponsesInputText, text=Mapped("a text part"), prompt_cache_breakpoint=_COSTS),
    *field_rules(
        r.ResponsesInputImage,
        image_url=MappedIfSupported("image_url.url", "image_urls"),
        file_id=_NO_FILES,
        detail=Mapped("image_url.detail"),
        prompt_cache_breakpoint=_COSTS,
    ),
    *field_rules(
        r.ResponsesInputFile,
        file_data=Mapped("file.file_data"),
        file_id=_NO_FILES,
        file_url=Rejected("files are not fetched there; send its bytes as file_data"),
        filename=Mapped("file.filename"),
        detail=Rejected("there is no such choice; leave it out", accepted=("auto",)),
        prompt_cache_breakpoint=_COSTS,
    ),
    *field_rules(r.ResponsesInputAudio, input_audio=Mapped("an input_audio part")),
    *field_rules(r.ResponsesAudio, data=Mapped("data"), format=Mapped("format")),
    *field_rules(
        r.ResponsesOutputText,
        text=Mapped("a text part"),
        annotations=Rejected("there are no citations; leave them out of the turn"),
        logprobs=Ignored("no model sees it"),
    ),
    *field_rules(r.ResponsesRefusal, refusal=Mapped("a refusal part")),
)

RESPONSES_TO_CHAT: Final[tuple[Rule, ...]] = (*_REQUEST, *_SETTINGS, *_TOOLS, *_ITEMS, *_PARTS)
"""Every field of every model of a Responses request, and what becomes of it in Chat Completions."""

REJECTED: Final = RejectedFields(RESPONSES_TO_CHAT)
"""The refusals among `RESPONSES_TO_CHAT`; the translation asks them for every part."""
