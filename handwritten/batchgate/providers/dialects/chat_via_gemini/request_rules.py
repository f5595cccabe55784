"""Rules that translate a Chat Completions request to generateContent, one rule for each field of each model."""

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
_NOT_SUPPORTED: Final = Rejected("Gemini does not support it; leave it out")
_NO_NAMES: Final = Rejected("Gemini has no participant names; name the speaker in the text")
_NO_CUSTOM_TOOLS: Final = Rejected("Gemini has no custom tools; declare a function with one text parameter")
_DEPRECATED: Final = Rejected("it is deprecated; use tools, tool_choice and tool_calls")
_CACHE: Final = Ignored("it affects costs, not answers; Gemini caches prompts automatically")
_THOUGHTS: Final = Ignored("Gemini takes only signatures of earlier thoughts, not their texts")
_LABEL: Final = Ignored("it only labels the request; the model does not see it")

_REQUEST: Final = field_rules(
    c.ChatCompletionRequest,
    model=Mapped("the model in the URL, without the account's prefix"),
    messages=Mapped("systemInstruction for leading system and developer messages, contents for the others"),
    max_completion_tokens=Mapped("generationConfig.maxOutputTokens"),
    max_tokens=Mapped("generationConfig.maxOutputTokens; rejected if max_completion_tokens has a different value"),
    temperature=Mapped("generationConfig.temperature"),
    top_p=Mapped("generationConfig.topP"),
    top_k=Mapped("generationConfig.topK"),
    n=Mapped("generationConfig.candidateCount"),
    seed=Mapped("generationConfig.seed"),
    stop=Mapped("generationConfig.stopSequences"),
    frequency_penalty=Mapped("generationConfig.frequencyPenalty"),
    presence_penalty=Mapped("generationConfig.presencePenalty"),
    logit_bias=_NOT_SUPPORTED,
    logprobs=Mapped("generationConfig.responseLogprobs"),
    top_logprobs=Mapped("generationConfig.logprobs"),
    stream=Rejected(NO_STREAM),
    stream_options=Ignored("it affects only streaming, and batches do not stream"),
    tools=Mapped("functionDeclarations of one tool"),
    tool_choice=Mapped(
        "toolConfig.functionCallingConfig: auto is AUTO, required is ANY, none is NONE; a function, or the tools of "
        "allowed_tools, are allowedFunctionNames of ANY; left out without tools, except required"
    ),
    parallel_tool_calls=Mapped("left out if true, as Gemini may always call several; false is rejected with tools"),
    functions=_DEPRECATED,
    function_call=_DEPRECATED,
    response_format=Mapped(
        "generationConfig.responseMimeType, and responseJsonSchema for json_schema; rejected with tools for models "
        "before Gemini 3"
    ),
    reasoning_effort=Mapped(
        "thinkingConfig.thinkingLevel of the same name; before Gemini 3 a thinkingBudget: minimal and low 1024, medium "
        "8192, high 24576, others rejected; none is thinkingBudget 0; max is rejected"
    ),
    verbosity=Rejected("Gemini does not support it; state the wanted length in the instructions", accepted=("medium",)),
    modalities=Rejected("translated answers contain only text; leave it out", accepted=(["text"],)),
    audio=_NOT_SUPPORTED,
    prediction=Ignored("it affects speed, not answers"),
    web_search_options=Rejected("Gemini has the tool googleSearch instead; send a row of generateContent"),
    moderation=_NOT_SUPPORTED,
    service_tier=Mapped("serviceTier flex or priority; auto and default are left out, and other tiers are rejected"),
    prompt_cache_key=_CACHE,
    prompt_cache_options=_CACHE,
    prompt_cache_retention=_CACHE,
    safety_identifier=_LABEL,
    user=_LABEL,
    metadata=_LABEL,
    store=Ignored("it stores the answer at OpenAI; Batchgate stores the results of the batch"),
    thinking_token_budget=Mapped("thinkingConfig.thinkingBudget; rejected beside reasoning_effort"),
    continue_final_message=Rejected("Gemini cannot continue a partial answer; end with a user message"),
    add_generation_prompt=Mapped("left out if true, as every answer starts so; false is rejected"),
    chat_template_kwargs=_NOT_SUPPORTED,
)

_FORMATS: Final = (
    *model_rules(Mapped("left out, as it is the default"), c.ChatTextFormat),
    *model_rules(Mapped("responseMimeType application/json, with the schema if it has one"), c.ChatJsonObjectFormat),
    *field_rules(c.ChatJsonSchemaFormat, json_schema=Mapped("responseJsonSchema")),
    *field_rules(
        c.ChatJsonSchema,
        name=Ignored("it only identifies the schema"),
        description=Rejected("Gemini has no such field; put it into the schema"),
        schema=Mapped("responseJsonSchema, byte for byte; required"),
        strict=Mapped("left out, as Gemini always enforces the schema"),
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
    *field_rules(c.ChatFunctionTool, function=Mapped("a functionDeclaration")),
    *field_rules(
        c.ChatFunctionDefinition,
        name=_SAME,
        description=_SAME,
        parameters=Mapped("parametersJsonSchema, byte for byte"),
        strict=Rejected("Gemini does not enforce the schema of a function; leave it out"),
    ),
    *model_rules(_NO_CUSTOM_TOOLS, c.ChatCustomTool, c.ChatCustomToolChoice, c.ChatCustomToolCallParam),
    *model_rules(_NO_CUSTOM_TOOLS, c.ChatCustomDefinition, c.ChatCustomCall),
    *field_rules(c.ChatFunctionToolChoice, function=Mapped("ANY with one of allowedFunctionNames")),
    *field_rules(c.ChatFunctionName, name=Mapped("an item of allowedFunctionNames")),
    *field_rules(c.ChatAllowedToolsChoice, allowed_tools=Mapped("ANY with allowedFunctionNames")),
    *field_rules(
        c.ChatAllowedTools,
        mode=Mapped("ANY for required; auto is rejected, as Gemini restricts the choice only if it must call"),
        tools=Mapped("allowedFunctionNames; tools other than functions are rejected"),
    ),
    *model_rules(_DEPRECATED, c.ChatLegacyFunction),
)

_TURNS: Final = (
    *field_rules(
        c.ChatDeveloperMessage,
        content=Mapped("parts of systemInstruction; rejected after the first other message"),
        name=_NO_NAMES,
    ),
    *field_rules(
        c.ChatSystemMessage,
        content=Mapped("parts of systemInstruction; rejected after the first other message"),
        name=_NO_NAMES,
    ),
    *field_rules(
        c.ChatUserMessage,
        content=Mapped("parts of a content with the role user, one for neighbours; empty texts are left out"),
        name=_NO_NAMES,
    ),
    *field_rules(
        c.ChatAssistantMessage,
        content=Mapped("parts of a content with the role model, one for neighbours; empty texts are left out"),
        refusal=Mapped("a text part"),
        name=_NO_NAMES,
        tool_calls=Mapped("functionCall parts after the text"),
        function_call=_DEPRECATED,
        audio=_NOT_SUPPORTED,
        reasoning=_THOUGHTS,
        reasoning_content=_THOUGHTS,
    ),
    *field_rules(
        c.ChatToolMessage,
        content=Mapped("response.output of a functionResponse part, as text; one content for all results of a turn"),
        tool_call_id=Mapped("id and, by its call, name; rejected if no earlier message has such a call"),
    ),
    *model_rules(_DEPRECATED, c.ChatFunctionMessage),
    *field_rules(
        c.ChatFunctionToolCallParam,
        id=Mapped("id, made unique in the conversation"),
        function=Mapped("name and args"),
        extra_content=Mapped("see ChatGoogleContent"),
    ),
    *field_rules(c.ChatExtraContent, google=Mapped("see ChatGoogleContent")),
    *field_rules(
        c.ChatGoogleContent,
        thought_signature=Mapped(
            "thoughtSignature of the part, as it came; where a Gemini 3 model needs one and there is none, Google's "
            "value that skips the check"
        ),
    ),
    *field_rules(
        c.ChatFunctionCall,
        name=_SAME,
        arguments=Mapped('args, an object; {"INVALID_JSON": text} if it is not a JSON object'),
    ),
)

_PARTS: Final = (
    *field_rules(c.ChatTextPart, text=Mapped("a text part"), prompt_cache_breakpoint=_CACHE),
    *field_rules(c.ChatRefusalPart, refusal=Mapped("a text part")),
    *field_rules(c.ChatImagePart, image_url=Mapped("an inlineData part"), prompt_cache_breakpoint=_CACHE),
    *field_rules(
        c.ChatImageUrl,
        url=Mapped("mimeType and data of a data URL of a PNG, JPEG, WebP, HEIC or HEIF image; others are rejected"),
        detail=Rejected("the translation does not support it; leave it out", accepted=("auto",)),
    ),
    *field_rules(c.ChatAudioPart, input_audio=Mapped("an inlineData part"), prompt_cache_breakpoint=_CACHE),
    *field_rules(c.ChatInputAudio, data=Mapped("data"), format=Mapped("mimeType audio/wav or audio/mp3")),
    *field_rules(c.ChatFilePart, file=Mapped("an inlineData part"), prompt_cache_breakpoint=_CACHE),
    *field_rules(
        c.ChatFile,
        file_data=Mapped("mimeType and data, if it is a data URL of a PDF; others are rejected"),
        file_id=Rejected("only OpenAI can read the file; send its content as file_data"),
        filename=Ignored("it only names the file"),
    ),
)

CHAT_TO_GEMINI: Final[tuple[Rule, ...]] = (*_REQUEST, *_FORMATS, *_TOOLS, *_TURNS, *_PARTS)
"""Every field of every model of a Chat Completions request and its translation to generateContent."""

REJECTED: Final = RejectedFields(CHAT_TO_GEMINI)
"""The fields and models that `CHAT_TO_GEMINI` rejects; the translation checks every part with it."""
