"""Rules that translate a Converse request to a Chat Completions request, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import (
    Ignored,
    Mapped,
    MappedIfSupported,
    Rejected,
    RejectedFields,
    Rule,
    field_rules,
)
from batchgate_api import converse as v

_CACHE: Final = Ignored("it affects costs, not answers")
_BEDROCK_ONLY: Final = Rejected("only Bedrock supports it; leave it out")
_IN_A_BUCKET: Final = Rejected("only Bedrock can read the bucket; send the content as bytes")
_NO_VIDEO: Final = Rejected("Chat Completions has no video; leave it out")
_NO_SOURCES: Final = Ignored("Chat Completions has no sources of a text")

_REQUEST: Final = (
    *field_rules(
        v.ConverseRequest,
        model=Mapped("model, without the account's prefix"),
        messages=Mapped("messages"),
        system=Mapped("a message with the role system, before the others"),
        inferenceConfig=Mapped("the parameters below"),
        toolConfig=Mapped("tools and tool_choice"),
        outputConfig=Mapped("response_format and reasoning_effort"),
        additionalModelRequestFields=Mapped(
            "top_k, if the server supports it (`top_k`), and thinking as in Messages; any other field in it is rejected"
        ),
        additionalModelResponseFieldPaths=_BEDROCK_ONLY,
        serviceTier=MappedIfSupported("service_tier; default is left out without the capability", "service_tiers"),
        guardrailConfig=_BEDROCK_ONLY,
        performanceConfig=_BEDROCK_ONLY,
        promptVariables=_BEDROCK_ONLY,
        requestMetadata=Ignored("it only labels the call in Bedrock's logs; the model does not see it"),
        projectIdentifier=_BEDROCK_ONLY,
    ),
    *field_rules(
        v.ConverseInference,
        maxTokens=Mapped("max_completion_tokens or max_tokens (`max_tokens_field`)"),
        temperature=Mapped("temperature"),
        topP=Mapped("top_p"),
        stopSequences=Mapped("stop; more than `stop_limit` are rejected"),
    ),
    *field_rules(
        v.ConverseOutputConfig,
        textFormat=Mapped("response_format with the type json_schema, strict"),
        effort=MappedIfSupported("reasoning_effort of the same name", "efforts"),
    ),
    *field_rules(
        v.ConverseTextFormat, type=Mapped("json_schema; others are rejected"), structure=Mapped("json_schema")
    ),
    *field_rules(v.ConverseTextStructure, jsonSchema=Mapped("json_schema")),
    *field_rules(
        v.ConverseJsonSchema,
        schema=Mapped("schema, as an object"),
        name=Mapped("name; answer if there is none"),
        description=Mapped("description"),
    ),
    *field_rules(v.ConverseServiceTier, type=Mapped("service_tier: default, flex or priority; others are rejected")),
)

_TOOLS: Final = (
    *field_rules(v.ConverseToolConfig, tools=Mapped("tools"), toolChoice=Mapped("tool_choice")),
    *field_rules(
        v.ConverseTool,
        toolSpec=Mapped("a function"),
        systemTool=Rejected("only Bedrock runs it; declare a tool and run it yourself"),
        cachePoint=_CACHE,
    ),
    *field_rules(
        v.ConverseToolSpec,
        name=Mapped("function.name"),
        description=Mapped("function.description"),
        inputSchema=Mapped("function.parameters"),
        strict=MappedIfSupported("function.strict", "strict_tools"),
    ),
    *field_rules(v.ConverseInputSchema, json=Mapped("function.parameters, byte for byte")),
    *field_rules(
        v.ConverseToolChoice,
        auto=MappedIfSupported("auto; left out without the capability", "tool_choice"),
        any=MappedIfSupported("required", "tool_choice"),
        tool=MappedIfSupported("a function", "tool_choice"),
    ),
    *field_rules(v.ConverseNamedTool, name=Mapped("function.name")),
)

_TURNS: Final = (
    *field_rules(
        v.ConverseMessage,
        role=Mapped("role"),
        content=Mapped("a message; messages with the role tool for tool results, then one with the role user"),
    ),
    *field_rules(
        v.ConverseSystemBlock,
        text=Mapped("a text part"),
        cachePoint=_CACHE,
        guardContent=_BEDROCK_ONLY,
    ),
    *field_rules(
        v.ConverseBlock,
        text=Mapped("a text part"),
        image=Mapped("an image part, only in user messages"),
        document=MappedIfSupported("a file part, only in user messages", "openai_fields"),
        toolUse=Mapped("tool_calls, only in assistant messages and after the text"),
        toolResult=Mapped("a message with the role tool, only in user messages and before other blocks"),
        reasoningContent=MappedIfSupported("reasoning or reasoning_content, before the text", "reasoning_field"),
        citationsContent=Mapped("a text part, only in assistant messages"),
        cachePoint=_CACHE,
        video=_NO_VIDEO,
        audio=Rejected("this translation has no audio; send a transcript as text"),
        searchResult=Rejected("Chat Completions has no search results; send the result as a text block"),
        guardContent=_BEDROCK_ONLY,
        toolAddition=Rejected("Chat Completions cannot change tools during a conversation; list them in toolConfig"),
        toolRemoval=Rejected("Chat Completions cannot change tools during a conversation; list them in toolConfig"),
    ),
    *field_rules(v.ConverseCachePoint, type=_CACHE, ttl=_CACHE),
)

_BLOCKS: Final = (
    *field_rules(
        v.ConverseImage,
        format=Mapped("the media type of a data URL"),
        source=Mapped("image_url"),
        error=Rejected("an image with an error has no content; leave it out"),
    ),
    *field_rules(v.ConverseImageSource, bytes=Mapped("a data URL"), s3Location=_IN_A_BUCKET),
    *field_rules(
        v.ConverseDocument,
        format=Mapped("the media type of a data URL; required"),
        name=Mapped("file.filename"),
        source=Mapped("file.file_data"),
        context=Rejected("Chat Completions has no such field; put it into a text block"),
        citations=Rejected("Chat Completions has no citations; leave it out"),
    ),
    *field_rules(
        v.ConverseDocumentSource,
        bytes=Mapped("a data URL"),
        text=Rejected("Chat Completions has no such documents; send the text as a text block"),
        s3Location=_IN_A_BUCKET,
        content=Rejected("Chat Completions has no such documents; send the content as blocks"),
    ),
    *field_rules(
        v.ConverseToolUse,
        toolUseId=Mapped("tool_calls.id; one that the server does not accept is replaced (`tool_ids`)"),
        name=Mapped("function.name"),
        input=Mapped("function.arguments, byte for byte"),
        type=Rejected("only Bedrock runs its own tools; leave their calls out"),
    ),
    *field_rules(
        v.ConverseToolResult,
        toolUseId=Mapped("tool_call_id, that of its call"),
        content=Mapped("content; only text and JSON"),
        status=Mapped("the prefix Error: in the content, if it is error"),
        type=Rejected("only Bedrock runs its own tools; leave their results out"),
    ),
    *field_rules(
        v.ConverseToolResultBlock,
        text=Mapped("a text part"),
        json=Mapped("a text part with the JSON"),
        image=Rejected("tool results can only be text there; put the image after the toolResult blocks"),
        document=Rejected("tool results can only be text there; put the document after the toolResult blocks"),
        video=_NO_VIDEO,
        searchResult=Rejected("Chat Completions has no search results; send the result as text"),
    ),
    *field_rules(
        v.ConverseReasoning,
        reasoningText=Mapped("the reasoning"),
        redactedContent=Rejected("only its model can read redacted reasoning; leave the block out"),
    ),
    *field_rules(
        v.ConverseReasoningText, text=Mapped("the reasoning"), signature=Ignored("only its model can verify it")
    ),
    *field_rules(v.ConverseCitations, content=Mapped("a text part"), citations=_NO_SOURCES),
    *field_rules(v.ConverseCitedText, text=Mapped("a text part")),
)

CONVERSE_TO_CHAT: Final[tuple[Rule, ...]] = (*_REQUEST, *_TOOLS, *_TURNS, *_BLOCKS)
"""Every field of every model of a Converse request and its translation to Chat Completions."""

REJECTED: Final = RejectedFields(CONVERSE_TO_CHAT)
"""The fields that `CONVERSE_TO_CHAT` rejects; the translation checks every part with it."""
