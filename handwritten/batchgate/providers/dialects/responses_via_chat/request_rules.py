"""The rules by which a Responses request becomes a Chat Completions request: every field of every model, as data."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import NO_STREAM, ByTarget, Hint, Mapped, Refusals, Refused, Rule, fields, whole
from batchgate_api import responses as r

_COSTS: Final = Mapped(
    "the same where the server is OpenAI's; elsewhere it is left out, as it moves costs, not answers"
)
_NOTES: Final = Mapped("the same where the server is OpenAI's; elsewhere it is left out, as no model sees it")
_STORED: Final = "only OpenAI has what this names; write it into the input"
_OPENAI_ONLY: Final = Refused("only OpenAI's Responses has it; leave it out")
_NAMES: Final = Hint("OpenAI's own names and states of items, which no model sees")
_DIRECT: Final = Mapped("direct, which is how every tool is called there; others are refused")
_NO_SEARCH: Final = Refused("there is no search for tools; declare the tool without it")
_NO_NAMESPACES: Final = Refused("there are no namespaces of tools; put it into the name")
_NOT_LATER: Final = Refused("tools are not called asynchronously there; leave it out")
_FREE_TEXT: Final = "openai_fields"

_REQUEST: Final = fields(
    r.ResponsesRequest,
    model=Mapped("model, without the account's prefix"),
    input=Mapped("messages; a text is a message of the user"),
    instructions=Mapped("a first message of the role system"),
    max_output_tokens=ByTarget("max_completion_tokens or max_tokens", "max_tokens_field"),
    temperature=Mapped("temperature"),
    top_p=Mapped("top_p"),
    top_logprobs=ByTarget("top_logprobs", "logprobs"),
    tools=Mapped("tools of the types function and custom; OpenAI's own tools are refused"),
    tool_choice=ByTarget("tool_choice", "tool_choice"),
    parallel_tool_calls=ByTarget("parallel_tool_calls", "parallel_tool_calls"),
    max_tool_calls=Hint("it counts calls of OpenAI's own tools, and there are none"),
    text=Mapped("see ResponsesTextConfig"),
    reasoning=Mapped("see ResponsesReasoningConfig"),
    include=Mapped(
        "logprobs for message.output_text.logprobs; nothing for reasoning.encrypted_content, as nothing is encrypted "
        "there; others are refused"
    ),
    metadata=_NOTES,
    safety_identifier=ByTarget("safety_identifier or user", "user_field"),
    user=ByTarget("user or safety_identifier; refused where the server has one field for two names", "user_field"),
    service_tier=ByTarget("service_tier; elsewhere auto and default are nothing", "service_tiers"),
    store=Mapped("store where the server is OpenAI's, which stores responses unless told otherwise; elsewhere nothing"),
    prompt_cache_key=_COSTS,
    prompt_cache_options=_COSTS,
    prompt_cache_retention=_COSTS,
    truncation=Refused("inputs are not shortened there; leave it out", neutral=("disabled",)),
    stream=Refused(NO_STREAM),
    stream_options=Hint("it concerns streams, and a batch does not stream"),
    background=Hint("a batch answers in the background anyway"),
    background_options=Hint("a batch answers in the background anyway"),
    previous_response_id=Refused(_STORED),
    conversation=Refused(_STORED),
    prompt=Refused(_STORED),
    context_management=_OPENAI_ONLY,
    moderation=ByTarget("moderation, byte for byte", "openai_fields"),
    access_programs=_OPENAI_ONLY,
    image=_OPENAI_ONLY,
)

_SETTINGS: Final = (
    *fields(
        r.ResponsesTextConfig,
        format=Mapped("response_format"),
        verbosity=ByTarget("verbosity; medium is the default", "openai_fields"),
    ),
    *whole(Mapped("response_format text"), r.ResponsesPlainFormat),
    *whole(Mapped("response_format json_object"), r.ResponsesJsonObjectFormat),
    *fields(
        r.ResponsesJsonSchemaFormat,
        name=Mapped("json_schema.name"),
        schema=Mapped("json_schema.schema, byte for byte"),
        description=Mapped("json_schema.description"),
        strict=Mapped("json_schema.strict"),
    ),
    *fields(
        r.ResponsesReasoningConfig,
        effort=ByTarget("reasoning_effort of the same name", "efforts"),
        summary=Hint("it changes what is shown of the reasoning, not the answer; the server decides what it shows"),
        generate_summary=Hint("it changes what is shown of the reasoning, not the answer"),
        context=Refused("only OpenAI keeps what was thought in earlier turns; leave it out", neutral=("auto",)),
        mode=Refused("only OpenAI's Responses has it; leave it out", neutral=("standard",)),
    ),
    *fields(
        r.ResponsesPromptCacheOptions,
        mode=_COSTS,
        ttl=_COSTS,
        prewarm=Refused("it only fills a cache, and a batch has to answer; leave it out"),
        comparison_response_id=_OPENAI_ONLY,
    ),
    *fields(r.ResponsesPromptCacheBreakpoint, mode=_COSTS, ttl=_COSTS),
)

_TOOLS: Final = (
    *fields(
        r.ResponsesFunctionTool,
        type=Mapped("function"),
        name=Mapped("function.name"),
        description=Mapped("function.description"),
        parameters=Mapped("function.parameters, byte for byte"),
        strict=ByTarget("function.strict; what is not said is not asked for", "strict_tools"),
        async_=_NOT_LATER,
        allowed_callers=_DIRECT,
        defer_loading=_NO_SEARCH,
        output_schema=Refused("there is no place for it; put it into the description"),
    ),
    *fields(
        r.ResponsesCustomTool,
        type=ByTarget("custom", _FREE_TEXT),
        name=ByTarget("custom.name", _FREE_TEXT),
        description=ByTarget("custom.description", _FREE_TEXT),
        format=ByTarget("custom.format", _FREE_TEXT),
        async_=_NOT_LATER,
        allowed_callers=_DIRECT,
        defer_loading=_NO_SEARCH,
    ),
    *fields(
        r.ResponsesToolFormat,
        type=ByTarget("type", _FREE_TEXT),
        definition=ByTarget("grammar.definition", _FREE_TEXT),
        syntax=ByTarget("grammar.syntax", _FREE_TEXT),
    ),
    *fields(
        r.ResponsesNamedToolChoice,
        type=Mapped("function, custom or allowed_tools; OpenAI's own tools are refused"),
        name=Mapped("name of the function or of the tool of free text"),
        server_label=Refused("only OpenAI calls MCP servers; declare their tools as functions"),
        mode=Mapped("allowed_tools.mode"),
        tools=ByTarget("allowed_tools.tools", "openai_fields"),
    ),
    *fields(
        r.ResponsesNamedTool,
        type=Mapped("function or custom; OpenAI's own tools are refused"),
        name=Mapped("name"),
        server_label=Refused("only OpenAI calls MCP servers; declare their tools as functions"),
    ),
)

_ITEMS: Final = (
    *fields(
        r.ResponsesMessage,
        type=Mapped("a message"),
        role=Mapped("role; developer is system where the server is not OpenAI's"),
        content=Mapped("content"),
        id=_NAMES,
        status=_NAMES,
        phase=Refused("there are no comments on the way to an answer; leave it out", neutral=("final_answer",)),
    ),
    *fields(
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
    *fields(
        r.ResponsesFunctionCallOutput,
        type=Mapped("a message of the role tool"),
        call_id=Mapped("tool_call_id"),
        output=Mapped("content; texts only"),
        id=_NAMES,
        status=_NAMES,
        caller=_DIRECT,
        name=Hint("the call has it"),
        namespace=_NO_NAMESPACES,
    ),
    *fields(
        r.ResponsesCustomToolCall,
        type=ByTarget("tool_calls of the type custom", _FREE_TEXT),
        call_id=ByTarget("tool_calls.id", _FREE_TEXT),
        name=ByTarget("custom.name", _FREE_TEXT),
        input=ByTarget("custom.input", _FREE_TEXT),
        id=_NAMES,
        status=_NAMES,
        async_=_NOT_LATER,
        caller=_DIRECT,
        namespace=_NO_NAMESPACES,
    ),
    *fields(
        r.ResponsesCustomToolCallOutput,
        type=Mapped("a message of the role tool"),
        call_id=Mapped("tool_call_id"),
        output=Mapped("content; texts only"),
        id=_NAMES,
        status=_NAMES,
        caller=_DIRECT,
    ),
    *fields(
        r.ResponsesReasoning,
        type=ByTarget("reasoning or reasoning_content of the message of the assistant that follows", "reasoning_field"),
        summary=Hint("the content says the same at length"),
        content=ByTarget("reasoning or reasoning_content; required", "reasoning_field"),
        encrypted_content=Refused("only OpenAI can read it; leave the item out"),
        id=_NAMES,
        status=_NAMES,
    ),
    *fields(r.ResponsesReasoningText, type=Mapped("see ResponsesReasoning"), text=Mapped("see ResponsesReasoning")),
)

_NO_FILES: Final = Refused("only OpenAI has the file; send its bytes")

_PARTS: Final = (
    *fields(r.ResponsesInputText, text=Mapped("a text part"), prompt_cache_breakpoint=_COSTS),
    *fields(
        r.ResponsesInputImage,
        image_url=ByTarget("image_url.url", "image_urls"),
        file_id=_NO_FILES,
        detail=Mapped("image_url.detail"),
        prompt_cache_breakpoint=_COSTS,
    ),
    *fields(
        r.ResponsesInputFile,
        file_data=Mapped("file.file_data"),
        file_id=_NO_FILES,
        file_url=Refused("files are not fetched there; send its bytes as file_data"),
        filename=Mapped("file.filename"),
        detail=Refused("there is no such choice; leave it out", neutral=("auto",)),
        prompt_cache_breakpoint=_COSTS,
    ),
    *fields(r.ResponsesInputAudio, input_audio=Mapped("an input_audio part")),
    *fields(r.ResponsesAudio, data=Mapped("data"), format=Mapped("format")),
    *fields(
        r.ResponsesOutputText,
        text=Mapped("a text part"),
        annotations=Refused("there are no citations; leave them out of the turn"),
        logprobs=Hint("no model sees it"),
    ),
    *fields(r.ResponsesRefusal, refusal=Mapped("a refusal part")),
)

RESPONSES_TO_CHAT: Final[tuple[Rule, ...]] = (*_REQUEST, *_SETTINGS, *_TOOLS, *_ITEMS, *_PARTS)
"""Every field of every model of a Responses request, and what becomes of it in Chat Completions."""

REFUSALS: Final = Refusals(RESPONSES_TO_CHAT)
"""The refusals among `RESPONSES_TO_CHAT`; the translation asks them for every part."""
