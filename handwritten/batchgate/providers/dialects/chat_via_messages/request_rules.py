"""The rules by which a Chat Completions request becomes a Messages request: every field of every model, as data."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import (
    NO_STREAM,
    Ignored,
    Mapped,
    Rejected,
    RejectedFields,
    Rule,
    field_rules,
    model_rules,
)
from batchgate_api import chat_completions as c

DEFAULT_MAX_TOKENS: Final = 16_384
"""What a Messages request asks for where a Chat Completions request sets no limit: Messages cannot be without one."""

_CACHE: Final = Ignored("it moves costs, not answers")
_NO_NAMES: Final = Rejected("Messages has no names of participants; say in the text who speaks")
_NO_PENALTIES: Final = Rejected("Messages does not have it; leave it out", accepted=(0,))
_TEXT_ONLY: Final = Rejected("a Message is text; leave it out")
_OLDER: Final = Rejected("the older form of tools; use tools, tool_choice and tool_calls")
_FREE_TEXT: Final = "tools of free text are OpenAI's own; declare a function instead"
_SIGNED: Final = Rejected("Messages takes back only thinking that Anthropic signed; leave it out")

_REQUEST: Final = field_rules(
    c.ChatCompletionRequest,
    model=Mapped("model, without the account's prefix"),
    messages=Mapped("system for the first ones of the roles system and developer, messages for the others"),
    max_completion_tokens=Mapped(f"max_tokens; {DEFAULT_MAX_TOKENS} where neither it nor max_tokens is there"),
    max_tokens=Mapped("max_tokens; refused where max_completion_tokens says another number"),
    temperature=Mapped("temperature; above 1, where that of Messages ends, it is refused"),
    top_p=Mapped("top_p"),
    top_k=Mapped("top_k"),
    n=Rejected("a Message is one answer; send the request as often as you want answers", accepted=(1,)),
    seed=Rejected("Messages has no seed; leave it out"),
    stop=Mapped("stop_sequences"),
    frequency_penalty=_NO_PENALTIES,
    presence_penalty=_NO_PENALTIES,
    logit_bias=Rejected("Messages does not have it; leave it out"),
    logprobs=Rejected("Messages tells no probabilities; leave it out"),
    top_logprobs=Rejected("Messages tells no probabilities; leave it out", accepted=(0,)),
    stream=Rejected(NO_STREAM),
    stream_options=Ignored("it concerns streams, and a batch does not stream"),
    tools=Mapped("custom tools"),
    tool_choice=Mapped("tool_choice: required is any, a function is tool"),
    parallel_tool_calls=Mapped("tool_choice.disable_parallel_tool_use, where there are tools"),
    functions=_OLDER,
    function_call=_OLDER,
    response_format=Mapped("output_config.format for json_schema; text is the default; json_object is refused"),
    reasoning_effort=Mapped(
        "thinking adaptive and output_config.effort of the same name; none is thinking disabled; minimal is refused"
    ),
    verbosity=Rejected(
        "Messages does not have it; say in the instructions how long the answer is", accepted=("medium",)
    ),
    modalities=Rejected("a Message is text; leave it out", accepted=(["text"],)),
    audio=_TEXT_ONLY,
    prediction=Ignored("it makes answers faster, not different"),
    web_search_options=Rejected("a batch row of Chat Completions has no search elsewhere; leave it out"),
    moderation=Rejected("only OpenAI moderates so; leave it out"),
    service_tier=Mapped("service_tier: auto, and standard_only for default; the tiers of OpenAI's own are refused"),
    prompt_cache_key=_CACHE,
    prompt_cache_options=_CACHE,
    prompt_cache_retention=_CACHE,
    safety_identifier=Mapped("metadata.user_id"),
    user=Mapped("metadata.user_id; refused where safety_identifier names another"),
    metadata=Ignored("it stands beside answers that OpenAI stores, and no model sees it"),
    store=Ignored("it keeps the answer at OpenAI; here the results of the batch are kept"),
    thinking_token_budget=Mapped("thinking enabled, with budget_tokens"),
    continue_final_message=Mapped("a last turn of the assistant, which Messages continues"),
    add_generation_prompt=Mapped("the same; refused where it contradicts continue_final_message"),
    chat_template_kwargs=Rejected("only servers that fill in a template have it; leave it out"),
)

_FORMATS: Final = (
    *model_rules(Mapped("nothing, as text is what Messages answers"), c.ChatTextFormat),
    *model_rules(Rejected("Messages follows schemas only; use json_schema"), c.ChatJsonObjectFormat),
    *field_rules(c.ChatJsonSchemaFormat, json_schema=Mapped("output_config.format")),
    *field_rules(
        c.ChatJsonSchema,
        name=Ignored("it only tells schemas apart"),
        description=Rejected("there is no place for it; put it into the schema"),
        schema=Mapped("output_config.format.schema, byte for byte; required"),
        strict=Mapped("nothing, as Messages always follows the schema"),
    ),
    *field_rules(c.ChatPrediction, type=Ignored("see prediction"), content=Ignored("see prediction")),
    *field_rules(
        c.ChatStreamOptions,
        include_usage=Ignored("see stream_options"),
        include_obfuscation=Ignored("see stream_options"),
    ),
    *field_rules(c.ChatPromptCacheOptions, mode=_CACHE, ttl=_CACHE),
    *field_rules(c.ChatPromptCacheBreakpoint, mode=_CACHE, ttl=_CACHE),
)

_TOOLS: Final = (
    *field_rules(c.ChatFunctionTool, function=Mapped("a custom tool")),
    *field_rules(
        c.ChatFunctionDefinition,
        name=Mapped("name"),
        description=Mapped("description"),
        parameters=Mapped("input_schema, byte for byte; an object without properties where there are none"),
        strict=Mapped("strict"),
    ),
    *model_rules(Rejected(_FREE_TEXT), c.ChatCustomTool, c.ChatCustomToolChoice, c.ChatCustomToolCallParam),
    *model_rules(Rejected(_FREE_TEXT), c.ChatCustomDefinition, c.ChatCustomCall),
    *field_rules(c.ChatFunctionToolChoice, function=Mapped("name of a tool choice of the type tool")),
    *field_rules(c.ChatFunctionName, name=Mapped("name")),
    *model_rules(Rejected("list the allowed tools only in tools"), c.ChatAllowedToolsChoice, c.ChatAllowedTools),
    *model_rules(_OLDER, c.ChatLegacyFunction),
)

_TURNS: Final = (
    *field_rules(
        c.ChatDeveloperMessage,
        content=Mapped("system; after the first turn, a turn of the role system"),
        name=_NO_NAMES,
    ),
    *field_rules(
        c.ChatSystemMessage,
        content=Mapped("system; after the first turn, a turn of the role system"),
        name=_NO_NAMES,
    ),
    *field_rules(c.ChatUserMessage, content=Mapped("a turn of the user"), name=_NO_NAMES),
    *field_rules(
        c.ChatAssistantMessage,
        content=Mapped("text blocks of a turn of the assistant"),
        refusal=Mapped("a text block"),
        name=_NO_NAMES,
        tool_calls=Mapped("tool_use blocks after the text"),
        function_call=_OLDER,
        audio=_TEXT_ONLY,
        reasoning=_SIGNED,
        reasoning_content=_SIGNED,
    ),
    *field_rules(
        c.ChatToolMessage,
        content=Mapped("content of a tool_result block, in one turn of the user with the messages after it"),
        tool_call_id=Mapped("tool_use_id"),
    ),
    *model_rules(_OLDER, c.ChatFunctionMessage),
    *field_rules(c.ChatFunctionToolCallParam, id=Mapped("id"), function=Mapped("name and input")),
    *field_rules(
        c.ChatFunctionCall,
        name=Mapped("name"),
        arguments=Mapped("input, without the white space around its tokens; refused where it is no JSON object"),
    ),
)

_PARTS: Final = (
    *field_rules(c.ChatTextPart, text=Mapped("a text block"), prompt_cache_breakpoint=_CACHE),
    *field_rules(c.ChatRefusalPart, refusal=Mapped("a text block")),
    *field_rules(c.ChatImagePart, image_url=Mapped("an image block"), prompt_cache_breakpoint=_CACHE),
    *field_rules(
        c.ChatImageUrl,
        url=Mapped("source: url for http, base64 for a data URL of a JPEG, PNG, GIF or WebP; others are refused"),
        detail=Rejected("Messages always looks as closely as it can; leave it out", accepted=("auto",)),
    ),
    *model_rules(Rejected("Messages does not hear; send the words as text"), c.ChatAudioPart, c.ChatInputAudio),
    *field_rules(c.ChatFilePart, file=Mapped("a document block"), prompt_cache_breakpoint=_CACHE),
    *field_rules(
        c.ChatFile,
        file_data=Mapped("source of the type base64, where it is a data URL of a PDF; others are refused"),
        file_id=Rejected("only OpenAI has the file; send its bytes as file_data"),
        filename=Mapped("title"),
    ),
)

CHAT_TO_MESSAGES: Final[tuple[Rule, ...]] = (*_REQUEST, *_FORMATS, *_TOOLS, *_TURNS, *_PARTS)
"""Every field of every model of a Chat Completions request, and what becomes of it in Messages."""

REJECTED: Final = RejectedFields(CHAT_TO_MESSAGES)
"""The refusals among `CHAT_TO_MESSAGES`; the translation asks them for every part."""
