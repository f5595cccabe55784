"""Rules that translate a Chat Completions request to a Converse request, one rule for each field of each model."""

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

CLAUDE_ONLY: Final = "Converse supports it only for Claude models; leave it out"
"""The reason to reject a parameter that other models do not have under this name."""
TOOLS_NEEDED: Final = "Converse needs the tools whose calls are in the conversation; list them in tools"

_CACHE: Final = Ignored("it affects costs, not answers")
_NO_NAMES: Final = Rejected("Converse has no participant names; name the speaker in the text")
_NO_PENALTIES: Final = Rejected("Converse does not support it; leave it out", accepted=(0,))
_TEXT_ONLY: Final = Rejected("Converse does not return audio; leave it out")
_DEPRECATED: Final = Rejected("it is deprecated; use tools, tool_choice and tool_calls")
_NO_CUSTOM_TOOLS: Final = "only OpenAI supports custom tools; declare a function instead"
_SIGNED: Final = Rejected("Converse accepts only reasoning that its model signed; leave it out")
_GEMINI_SIGNATURE: Final = Ignored("only Gemini can read the signature of its thoughts")
_NO_USER: Final = Ignored("it identifies the end user to OpenAI; the model does not see it")
_NO_PREFILL: Final = "Converse does not continue a partial answer; end with a user message"

_REQUEST: Final = field_rules(
    c.ChatCompletionRequest,
    model=Mapped("modelId in the URL, without the account's prefix"),
    messages=Mapped(
        "system for the leading messages with the roles system and developer, messages for the others; later ones with "
        "these roles are rejected. Messages of one role that follow each other are merged; blank texts, and messages "
        "in which nothing else remains, are left out. The first remaining message should be the user's, and the last "
        "one not the assistant's"
    ),
    max_completion_tokens=Mapped("inferenceConfig.maxTokens"),
    max_tokens=Mapped("inferenceConfig.maxTokens; rejected if max_completion_tokens has a different value"),
    temperature=Mapped("inferenceConfig.temperature; rejected above 1, the maximum of Converse"),
    top_p=Mapped("inferenceConfig.topP"),
    top_k=Mapped(f"additionalModelRequestFields.top_k; rejected for other models than Claude: {CLAUDE_ONLY}"),
    n=Rejected("Converse returns one answer; send one request for each answer that you want", accepted=(1,)),
    seed=Rejected("Converse has no seed; leave it out"),
    stop=Mapped("inferenceConfig.stopSequences"),
    frequency_penalty=_NO_PENALTIES,
    presence_penalty=_NO_PENALTIES,
    logit_bias=Rejected("Converse does not support it; leave it out"),
    logprobs=Rejected("Converse returns no log probabilities; leave it out"),
    top_logprobs=Rejected("Converse returns no log probabilities; leave it out", accepted=(0,)),
    stream=Rejected(NO_STREAM),
    stream_options=Ignored("it affects only streaming, and batches do not stream"),
    tools=Mapped(
        "toolConfig.tools; required if there are tool calls in the conversation, and left out if tool_choice is none"
    ),
    tool_choice=Mapped(
        "toolConfig.toolChoice: auto is auto, required is any, a function is tool; none leaves out toolConfig, and is "
        "rejected if there are tool calls in the conversation"
    ),
    parallel_tool_calls=Mapped("left out if true, as Converse always allows several calls; false is rejected"),
    functions=_DEPRECATED,
    function_call=_DEPRECATED,
    response_format=Mapped("outputConfig.textFormat for json_schema; text is the default; json_object is rejected"),
    reasoning_effort=Mapped(
        "outputConfig.effort of the same name, for Claude with additionalModelRequestFields.thinking adaptive; none is "
        "thinking disabled for Claude, and rejected for others; minimal is rejected"
    ),
    verbosity=Rejected(
        "Converse does not support it; state the wanted length in the instructions", accepted=("medium",)
    ),
    modalities=Rejected("Converse has no such field; leave it out", accepted=(["text"],)),
    audio=_TEXT_ONLY,
    prediction=Ignored("it affects speed, not answers"),
    web_search_options=Rejected("only OpenAI supports it; leave it out"),
    moderation=Rejected("only OpenAI supports it; leave it out"),
    service_tier=Mapped("serviceTier.type: default, flex and priority; auto is left out; scale is rejected"),
    prompt_cache_key=_CACHE,
    prompt_cache_options=_CACHE,
    prompt_cache_retention=_CACHE,
    safety_identifier=_NO_USER,
    user=_NO_USER,
    metadata=Ignored("it only labels stored answers; the model does not see it"),
    store=Ignored("it stores the answer at OpenAI; Batchgate stores the results of the batch"),
    thinking_token_budget=Mapped(
        f"additionalModelRequestFields.thinking enabled, with budget_tokens; rejected for other models than Claude: "
        f"{CLAUDE_ONLY}"
    ),
    continue_final_message=Rejected(_NO_PREFILL),
    add_generation_prompt=Mapped("left out if true; false is rejected"),
    chat_template_kwargs=Rejected("only servers that apply a chat template support it; leave it out"),
)

_FORMATS: Final = (
    *model_rules(Mapped("left out, as text is the default"), c.ChatTextFormat),
    *model_rules(Rejected("Converse supports only json_schema; use it"), c.ChatJsonObjectFormat),
    *field_rules(c.ChatJsonSchemaFormat, json_schema=Mapped("outputConfig.textFormat.structure.jsonSchema")),
    *field_rules(
        c.ChatJsonSchema,
        name=Mapped("name"),
        description=Mapped("description"),
        schema=Mapped("schema, as text; required"),
        strict=Mapped("left out, as Converse always enforces the schema"),
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

_NAME: Final = Mapped(
    "name; a character other than letters, digits, _ and - is written as its code, such as _x2e_ for a dot, and "
    "restored in the answer"
)

_TOOLS: Final = (
    *field_rules(c.ChatFunctionTool, function=Mapped("toolSpec")),
    *field_rules(
        c.ChatFunctionDefinition,
        name=_NAME,
        description=Mapped("description; left out if it is empty"),
        parameters=Mapped(
            "inputSchema.json, byte for byte; an object without properties if there are none, with the type object if "
            "it has no type"
        ),
        strict=Mapped("strict"),
    ),
    *model_rules(Rejected(_NO_CUSTOM_TOOLS), c.ChatCustomTool, c.ChatCustomToolChoice, c.ChatCustomToolCallParam),
    *model_rules(Rejected(_NO_CUSTOM_TOOLS), c.ChatCustomDefinition, c.ChatCustomCall),
    *field_rules(c.ChatFunctionToolChoice, function=Mapped("toolChoice.tool")),
    *field_rules(c.ChatFunctionName, name=_NAME),
    *model_rules(
        Rejected("Converse has no such choice; list only the allowed tools in tools"),
        c.ChatAllowedToolsChoice,
        c.ChatAllowedTools,
    ),
    *model_rules(_DEPRECATED, c.ChatLegacyFunction),
)

_TURNS: Final = (
    *field_rules(c.ChatDeveloperMessage, content=Mapped("system"), name=_NO_NAMES),
    *field_rules(c.ChatSystemMessage, content=Mapped("system"), name=_NO_NAMES),
    *field_rules(c.ChatUserMessage, content=Mapped("a user message"), name=_NO_NAMES),
    *field_rules(
        c.ChatAssistantMessage,
        content=Mapped("text blocks of an assistant message"),
        refusal=Mapped("a text block"),
        name=_NO_NAMES,
        tool_calls=Mapped("toolUse blocks after the text"),
        function_call=_DEPRECATED,
        audio=_TEXT_ONLY,
        reasoning=_SIGNED,
        reasoning_content=_SIGNED,
    ),
    *field_rules(
        c.ChatToolMessage,
        content=Mapped("content of a toolResult block, in one user message with the messages that follow"),
        tool_call_id=Mapped("toolUseId, that of its call; rejected if no earlier message has such a call"),
    ),
    *model_rules(_DEPRECATED, c.ChatFunctionMessage),
    *field_rules(
        c.ChatFunctionToolCallParam,
        id=Mapped("toolUseId; one with other characters than letters, digits, _ and -, or used before, is replaced"),
        function=Mapped("name and input"),
        extra_content=_GEMINI_SIGNATURE,
    ),
    *field_rules(c.ChatExtraContent, google=_GEMINI_SIGNATURE),
    *field_rules(c.ChatGoogleContent, thought_signature=_GEMINI_SIGNATURE),
    *field_rules(
        c.ChatFunctionCall,
        name=_NAME,
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
            "source.bytes of a data URL of a JPEG, PNG, GIF or WebP; others are rejected, as Bedrock downloads no "
            "images. The format is that of the data"
        ),
        detail=Rejected("Converse has no level of detail; leave it out", accepted=("auto",)),
    ),
    *model_rules(
        Rejected("this translation has no audio; send a transcript as text"), c.ChatAudioPart, c.ChatInputAudio
    ),
    *field_rules(
        c.ChatFilePart,
        file=Mapped("a document block; rejected in a message without a text"),
        prompt_cache_breakpoint=_CACHE,
    ),
    *field_rules(
        c.ChatFile,
        file_data=Mapped("format and source.bytes of a data URL of a PDF, CSV, HTML, Markdown, text or Office file"),
        file_id=Rejected("only OpenAI can read the file; send its content as file_data"),
        filename=Mapped(
            "name, with a hyphen for each character that Converse does not allow, and a number if it is used before; "
            "document without one"
        ),
    ),
)

CHAT_TO_CONVERSE: Final[tuple[Rule, ...]] = (*_REQUEST, *_FORMATS, *_TOOLS, *_TURNS, *_PARTS)
"""Every field of every model of a Chat Completions request and its translation to Converse."""

REJECTED: Final = RejectedFields(CHAT_TO_CONVERSE)
"""The fields and models that `CHAT_TO_CONVERSE` rejects; the translation checks every part with it."""
