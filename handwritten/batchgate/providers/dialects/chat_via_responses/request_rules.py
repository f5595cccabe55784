"""Rules that translate a Chat Completions request to a Responses request, one rule for each field of each model."""

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

_SAME: Final = Mapped("the same")
_NO_SUPPORT: Final = "Responses does not support it; leave it out"
_NOT_SUPPORTED: Final = Rejected(_NO_SUPPORT)
_NO_PENALTIES: Final = Rejected(_NO_SUPPORT, accepted=(0,))
_NO_NAMES: Final = Rejected("Responses has no participant names; name the speaker in the text")
_DEPRECATED: Final = Rejected("it is deprecated; use tools, tool_choice and tool_calls")
_ENCRYPTED: Final = Rejected("OpenAI accepts only reasoning that it encrypted; leave it out")

_SIGNATURE: Final = Ignored("only Gemini can verify it")

_REQUEST: Final = field_rules(
    c.ChatCompletionRequest,
    model=Mapped("model, without the account's prefix"),
    messages=Mapped("instructions for a leading system message that is a text, input for the others"),
    max_completion_tokens=Mapped("max_output_tokens"),
    max_tokens=Mapped("max_output_tokens; rejected if max_completion_tokens has a different value"),
    temperature=_SAME,
    top_p=_SAME,
    top_k=_NOT_SUPPORTED,
    n=Rejected("Responses returns one answer; send one request for each answer that you want", accepted=(1,)),
    seed=_NOT_SUPPORTED,
    stop=_NOT_SUPPORTED,
    frequency_penalty=_NO_PENALTIES,
    presence_penalty=_NO_PENALTIES,
    logit_bias=_NOT_SUPPORTED,
    logprobs=Mapped("include of message.output_text.logprobs"),
    top_logprobs=_SAME,
    stream=Rejected(NO_STREAM),
    stream_options=Ignored("it affects only streaming, and batches do not stream"),
    tools=Mapped("tools, nested one level less"),
    tool_choice=Mapped("tool_choice, nested one level less"),
    parallel_tool_calls=_SAME,
    functions=_DEPRECATED,
    function_call=_DEPRECATED,
    response_format=Mapped("text.format, nested one level less"),
    reasoning_effort=Mapped("reasoning.effort"),
    verbosity=Mapped("text.verbosity"),
    modalities=Rejected("a Response contains only text; leave it out", accepted=(["text"],)),
    audio=_NOT_SUPPORTED,
    prediction=Ignored("it affects speed, not answers"),
    web_search_options=Rejected("Responses has the tool web_search instead; send a Responses request"),
    moderation=Mapped("moderation, byte for byte"),
    service_tier=_SAME,
    prompt_cache_key=_SAME,
    prompt_cache_options=_SAME,
    prompt_cache_retention=_SAME,
    safety_identifier=_SAME,
    user=_SAME,
    metadata=_SAME,
    store=Mapped("store; false if not set, as Responses stores by default"),
    thinking_token_budget=_NOT_SUPPORTED,
    continue_final_message=_NOT_SUPPORTED,
    add_generation_prompt=Mapped("left out if true, as every answer starts so; false is rejected"),
    chat_template_kwargs=_NOT_SUPPORTED,
)

_FORMATS: Final = (
    *model_rules(Mapped("text.format text"), c.ChatTextFormat),
    *model_rules(Mapped("text.format json_object, or json_schema if it has a schema"), c.ChatJsonObjectFormat),
    *field_rules(c.ChatJsonSchemaFormat, json_schema=Mapped("text.format json_schema")),
    *field_rules(
        c.ChatJsonSchema,
        name=_SAME,
        description=_SAME,
        schema=Mapped("schema, byte for byte; required"),
        strict=_SAME,
    ),
    *field_rules(c.ChatPrediction, type=Ignored("see prediction"), content=Ignored("see prediction")),
    *field_rules(
        c.ChatStreamOptions,
        include_usage=Ignored("see stream_options"),
        include_obfuscation=Ignored("see stream_options"),
    ),
    *field_rules(c.ChatPromptCacheOptions, mode=_SAME, ttl=_SAME),
    *field_rules(c.ChatPromptCacheBreakpoint, mode=_SAME, ttl=_SAME),
)

_TOOLS: Final = (
    *field_rules(c.ChatFunctionTool, function=Mapped("a tool with the type function")),
    *field_rules(
        c.ChatFunctionDefinition,
        name=_SAME,
        description=_SAME,
        parameters=Mapped("parameters, byte for byte; null if there are none"),
        strict=Mapped("strict; false if not set, as Responses is strict by default"),
    ),
    *field_rules(c.ChatCustomTool, custom=Mapped("a tool with the type custom")),
    *field_rules(
        c.ChatCustomDefinition,
        name=_SAME,
        description=_SAME,
        format=Mapped("format, its grammar nested one level less"),
    ),
    *field_rules(c.ChatFunctionToolChoice, function=Mapped("name")),
    *field_rules(c.ChatCustomToolChoice, custom=Mapped("name")),
    *field_rules(c.ChatFunctionName, name=_SAME),
    *field_rules(c.ChatAllowedToolsChoice, allowed_tools=Mapped("mode and tools")),
    *field_rules(c.ChatAllowedTools, mode=_SAME, tools=Mapped("tools, nested one level less")),
    *model_rules(_DEPRECATED, c.ChatLegacyFunction),
)

_TURNS: Final = (
    *field_rules(c.ChatDeveloperMessage, content=Mapped("a message with the role developer"), name=_NO_NAMES),
    *field_rules(
        c.ChatSystemMessage, content=Mapped("instructions, or a message with the role system"), name=_NO_NAMES
    ),
    *field_rules(c.ChatUserMessage, content=Mapped("a message with the role user"), name=_NO_NAMES),
    *field_rules(
        c.ChatAssistantMessage,
        content=Mapped("a message with the role assistant"),
        refusal=Mapped("a refusal part"),
        name=_NO_NAMES,
        tool_calls=Mapped("function_call and custom_tool_call items after the message"),
        function_call=_DEPRECATED,
        audio=_NOT_SUPPORTED,
        reasoning=_ENCRYPTED,
        reasoning_content=_ENCRYPTED,
    ),
    *field_rules(
        c.ChatToolMessage,
        content=Mapped("output of a function_call_output or, for a call of a custom tool, custom_tool_call_output"),
        tool_call_id=Mapped("call_id"),
    ),
    *model_rules(_DEPRECATED, c.ChatFunctionMessage),
    *field_rules(
        c.ChatFunctionToolCallParam,
        id=Mapped("call_id"),
        function=Mapped("name and arguments"),
        extra_content=_SIGNATURE,
    ),
    *field_rules(c.ChatExtraContent, google=_SIGNATURE),
    *field_rules(c.ChatGoogleContent, thought_signature=_SIGNATURE),
    *field_rules(c.ChatFunctionCall, name=_SAME, arguments=_SAME),
    *field_rules(c.ChatCustomToolCallParam, id=Mapped("call_id"), custom=Mapped("name and input")),
    *field_rules(c.ChatCustomCall, name=_SAME, input=_SAME),
)

_PARTS: Final = (
    *field_rules(c.ChatTextPart, text=Mapped("an input_text or output_text part"), prompt_cache_breakpoint=_SAME),
    *field_rules(c.ChatRefusalPart, refusal=Mapped("a refusal part")),
    *field_rules(c.ChatImagePart, image_url=Mapped("an input_image part"), prompt_cache_breakpoint=_SAME),
    *field_rules(c.ChatImageUrl, url=Mapped("image_url"), detail=_SAME),
    *field_rules(c.ChatAudioPart, input_audio=_SAME, prompt_cache_breakpoint=_NOT_SUPPORTED),
    *field_rules(c.ChatInputAudio, data=_SAME, format=_SAME),
    *field_rules(c.ChatFilePart, file=Mapped("an input_file part"), prompt_cache_breakpoint=_SAME),
    *field_rules(c.ChatFile, file_data=_SAME, file_id=_SAME, filename=_SAME),
)

CHAT_TO_RESPONSES: Final[tuple[Rule, ...]] = (*_REQUEST, *_FORMATS, *_TOOLS, *_TURNS, *_PARTS)
"""Every field of every model of a Chat Completions request and its translation to Responses."""

REJECTED: Final = RejectedFields(CHAT_TO_RESPONSES)
"""The fields and models that `CHAT_TO_RESPONSES` rejects; the translation checks every part with it."""
