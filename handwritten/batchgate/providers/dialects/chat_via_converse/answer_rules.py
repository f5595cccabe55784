"""Rules that translate a Converse answer to a Chat Completions answer, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules
from batchgate_api import converse as v

_NO_FIELD: Final = Ignored("Chat Completions has no such field")
_NEVER_REQUESTED: Final = Ignored("translated requests never ask for it")

CONVERSE_TO_COMPLETION: Final[tuple[Rule, ...]] = (
    *field_rules(
        v.ConverseResponse,
        output=Mapped("message of the only choice"),
        stopReason=Mapped(
            "finish_reason, by the table of [endings](answers.md#how-an-answer-ended); an unknown word stays"
        ),
        usage=Mapped("usage; zeros if there is none"),
        metrics=_NO_FIELD,
        additionalModelResponseFields=_NEVER_REQUESTED,
        trace=_NEVER_REQUESTED,
        performanceConfig=_NEVER_REQUESTED,
        serviceTier=Mapped("service_tier"),
    ),
    *field_rules(v.ConverseUsedTier, type=Mapped("service_tier")),
    *field_rules(v.ConverseOutput, message=Mapped("message")),
    *field_rules(
        v.ConverseAnswer,
        role=Mapped("role assistant"),
        content=Mapped("content, reasoning_content, tool_calls and images; a block of any other kind is rejected"),
    ),
    *field_rules(
        v.ConverseAnswerBlock,
        text=Mapped("content, joined with the other texts; null if there are only tool calls"),
        toolUse=Mapped("tool_calls; rejected for a tool that Bedrock runs"),
        reasoningContent=Mapped("reasoning_content"),
        citationsContent=Mapped("content, without the sources"),
        image=Mapped("images, as a data URL"),
    ),
    *field_rules(
        v.ConverseCalledTool,
        toolUseId=Mapped("id; call_ and a unique hash if there is none"),
        name=Mapped("function.name, restored"),
        input=Mapped('function.arguments, as text; the text of {"INVALID_JSON": text}'),
        type=Mapped("rejected if it is server_tool_use"),
    ),
    *field_rules(
        v.ConverseAnswerReasoning,
        reasoningText=Mapped("reasoning_content"),
        redactedContent=Ignored("only its model can decrypt it"),
    ),
    *field_rules(v.ConverseAnswerReasoningText, text=Mapped("reasoning_content"), signature=_NO_FIELD),
    *field_rules(v.ConverseAnswerCitations, content=Mapped("content"), citations=_NO_FIELD),
    *field_rules(v.ConverseCitedText, text=Mapped("content")),
    *field_rules(v.ConverseAnswerImage, format=Mapped("the media type of the data URL"), source=Mapped("the data")),
    *field_rules(v.ConverseAnswerImageSource, bytes=Mapped("the data of the data URL")),
    *field_rules(
        v.ConverseUsage,
        inputTokens=Mapped("part of prompt_tokens"),
        outputTokens=Mapped("completion_tokens"),
        totalTokens=Ignored("it is made of the other counts"),
        cacheReadInputTokens=Mapped("part of prompt_tokens; prompt_tokens_details.cached_tokens"),
        cacheWriteInputTokens=Mapped("part of prompt_tokens; prompt_tokens_details.cache_write_tokens"),
        cacheDetails=_NO_FIELD,
    ),
)
"""Every field of every model of a Converse answer and its translation to Chat Completions."""
