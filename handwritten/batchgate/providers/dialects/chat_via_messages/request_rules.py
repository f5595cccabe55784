"""Rules that translate a Chat Completions request to a Messages request, one rule for each field of each model."""

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
"""The max_tokens of a Messages request if the Chat Completions request sets no limit: Messages requires one."""

_CACHE: Final = Ignored("it affects costs, not answers")
_NO_NAMES: Final = Rejected("Messages has no participant names; name the speaker in the text")
_NO_PENALTIES: Final = Rejected("Messages does not support it; leave it out", accepted=(0,))
_TEXT_ONLY: Final = Rejected("a Message contains only text; leave it out")
_DEPRECATED: Final = Rejected("it is deprecated; use tools, tool_choice and tool_calls")
_NO_CUSTOM_TOOLS: Final = "only OpenAI supports custom tools; declare a function instead"
_SIGNED: Final = Rejected("Messages accepts only thinking that Anthropic signed; leave it out")

_SIGNATURE: Final = Ignored("only Gemini can verify it")

_REQUEST: Final = field_rules(
    c.ChatCompletionRequest,
    model=Mapped("model, without the account's prefix"),
    messages=Mapped(
        "system for the leading messages with the roles system and developer, messages for the others; blank texts, "
        "and messages in which nothing else remains, are left out"
    ),
    max_completion_tokens=Mapped(f"max_tokens; {DEFAULT_MAX_TOKENS} if neither it nor max_tokens is set"),
    max_tokens=Mapped("max_tokens; rejected if max_completion_tokens has a different value"),
    temperature=Mapped("temperature; rejected above 1, the maximum of Messages"),
    top_p=Mapped("top_p"),
    top_k=Mapped("top_k"),
    n=Rejected("Messages returns one answer; send one request for each answer that you want", accepted=(1,)),
    seed=Rejected("Messages has no seed; leave it out"),
    stop=Mapped("stop_sequences"),
    frequency_penalty=_NO_PENALTIES,
    presence_penalty=_NO_PENALTIES,
    logit_bias=Rejected("Messages does not support it; leave it out"),
    logprobs=Rejected("Messages returns no log probabilities; leave it out"),
    top_logprobs=Rejected("Messages returns no log probabilities; leave it out", accepted=(0,)),
    stream=Rejected(NO_STREAM),
    stream_options=Ignored("it affects only streaming, and batches do not stream"),
    tools=Mapped("custom tools"),
    tool_choice=Mapped("tool_choice: required is any, a function is tool; auto and none are left out without tools"),
    parallel_tool_calls=Mapped("tool_choice.disable_parallel_tool_use, if there are tools"),
    functions=_DEPRECATED,
    function_call=_DEPRECATED,
    response_format=Mapped("output_config.format for json_schema; text is the default; json_object is rejected"),
    reasoning_effort=Mapped(
        "thinking adaptive and output_config.effort of the same name; none is thinking disabled; minimal is rejected"
    ),
    verbosity=Rejected(
        "Messages does not support it; state the wanted length in the instructions", accepted=("medium",)
    ),
    modalities=Rejected("a Message contains only text; leave it out", accepted=(["text"],)),
    audio=_TEXT_ONLY,
    prediction=Ignored("it affects speed, not answers"),
    web_search_options=Rejected("only OpenAI supports it; leave it out"),
    moderation=Rejected("only OpenAI supports it; leave it out"),
    service_tier=Mapped("service_tier: auto, and standard_only for default; tiers that only OpenAI has are rejected"),
    prompt_cache_key=_CACHE,
    prompt_cache_options=_CACHE,
    prompt_cache_retention=_CACHE,
    safety_identifier=Mapped("metadata.user_id"),
    user=Mapped("metadata.user_id; rejected if safety_identifier has a different value"),
    metadata=Ignored("it only labels stored answers; the model does not see it"),
    store=Ignored("it stores the answer at OpenAI; Batchgate stores the results of the batch"),
    thinking_token_budget=Mapped("thinking enabled, with budget_tokens"),
    continue_final_message=Mapped("a last assistant message, without white space at its end, which Messages continues"),
    add_generation_prompt=Mapped("the same; rejected if it contradicts continue_final_message"),
    chat_template_kwargs=Rejected("only servers that apply a chat template support it; leave it out"),
)

_FORMATS: Final = (
    *model_rules(Mapped("left out, as Messages always returns text"), c.ChatTextFormat),
    *model_rules(Rejected("Messages supports only json_schema; use it"), c.ChatJsonObjectFormat),
    *field_rules(c.ChatJsonSchemaFormat, json_schema=Mapped("output_config.format")),
    *field_rules(
        c.ChatJsonSchema,
        name=Ignored("it only identifies the schema"),
        description=Rejected("Messages has no such field; put it into the schema"),
        schema=Mapped("output_config.format.schema, byte for byte; required"),
        strict=Mapped("left out, as Messages always enforces the schema"),
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
        parameters=Mapped(
            "input_schema, byte for byte; an object without properties if there are none, with the type object if it "
            "has no type"
        ),
        strict=Mapped("strict"),
    ),
    *model_rules(Rejected(_NO_CUSTOM_TOOLS), c.ChatCustomTool, c.ChatCustomToolChoice, c.ChatCustomToolCallParam),
    *model_rules(Rejected(_NO_CUSTOM_TOOLS), c.ChatCustomDefinition, c.ChatCustomCall),
    *field_rules(c.ChatFunctionToolChoice, function=Mapped("name of a tool choice with the type tool")),
    *field_rules(c.ChatFunctionName, name=Mapped("name")),
    *model_rules(
        Rejected("Messages has no such choice; list only the allowed tools in tools"),
        c.ChatAllowedToolsChoice,
        c.ChatAllowedTools,
    ),
    *model_rules(_DEPRECATED, c.ChatLegacyFunction),
)

_TURNS: Final = (
    *field_rules(
        c.ChatDeveloperMessage,
        content=Mapped("system; after the first message, a message with the role system"),
        name=_NO_NAMES,
    ),
    *field_rules(
        c.ChatSystemMessage,
        content=Mapped("system; after the first message, a message with the role system"),
        name=_NO_NAMES,
    ),
    *field_rules(c.ChatUserMessage, content=Mapped("a user message"), name=_NO_NAMES),
    *field_rules(
        c.ChatAssistantMessage,
        content=Mapped("text blocks of an assistant message"),
        refusal=Mapped("a text block"),
        name=_NO_NAMES,
        tool_calls=Mapped("tool_use blocks after the text"),
        function_call=_DEPRECATED,
        audio=_TEXT_ONLY,
        reasoning=_SIGNED,
        reasoning_content=_SIGNED,
    ),
    *field_rules(
        c.ChatToolMessage,
        content=Mapped("content of a tool_result block, in one user message with the messages that follow"),
        tool_call_id=Mapped("tool_use_id, that of its call; rejected if no earlier message has such a call"),
    ),
    *model_rules(_DEPRECATED, c.ChatFunctionMessage),
    *field_rules(
        c.ChatFunctionToolCallParam,
        id=Mapped("id; one with other characters than letters, digits, _ and -, or used before, is replaced"),
        function=Mapped("name and input"),
        extra_content=_SIGNATURE,
    ),
    *field_rules(c.ChatExtraContent, google=_SIGNATURE),
    *field_rules(c.ChatGoogleContent, thought_signature=_SIGNATURE),
    *field_rules(
        c.ChatFunctionCall,
        name=Mapped("name"),
        arguments=Mapped(
            'input, without white space between its tokens; {"INVALID_JSON": text} if it is not a JSON object'
        ),
    ),
)

_PARTS: Final = (
    *field_rules(c.ChatTextPart, text=Mapped("a text block"), prompt_cache_breakpoint=_CACHE),
    *field_rules(c.ChatRefusalPart, refusal=Mapped("a text block")),
    *field_rules(c.ChatImagePart, image_url=Mapped("an image block"), prompt_cache_breakpoint=_CACHE),
    *field_rules(
        c.ChatImageUrl,
        url=Mapped(
            "source: url for http, base64 for a data URL of a JPEG, PNG, GIF or WebP; others are rejected. The media "
            "type is that of the data; image/jpg is image/jpeg"
        ),
        detail=Rejected("Messages always uses the highest detail; leave it out", accepted=("auto",)),
    ),
    *model_rules(
        Rejected("Messages does not accept audio; send a transcript as text"), c.ChatAudioPart, c.ChatInputAudio
    ),
    *field_rules(c.ChatFilePart, file=Mapped("a document block"), prompt_cache_breakpoint=_CACHE),
    *field_rules(
        c.ChatFile,
        file_data=Mapped("source with the type base64, if it is a data URL of a PDF; others are rejected"),
        file_id=Rejected("only OpenAI can read the file; send its content as file_data"),
        filename=Mapped("title"),
    ),
)

CHAT_TO_MESSAGES: Final[tuple[Rule, ...]] = (*_REQUEST, *_FORMATS, *_TOOLS, *_TURNS, *_PARTS)
"""Every field of every model of a Chat Completions request and its translation to Messages."""

REJECTED: Final = RejectedFields(CHAT_TO_MESSAGES)
"""The fields and models that `CHAT_TO_MESSAGES` rejects; the translation checks every part with it."""
