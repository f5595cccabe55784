"""Rules that translate a Chat Completions answer to a Converse answer, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules
from batchgate_api import chat_completions as c

_NEVER_REQUESTED: Final = Ignored("translated requests never ask for it")
_GEMINI_SIGNATURE: Final = Ignored("only Gemini can read the signature of its thoughts")
_NO_FIELD: Final = Ignored("Converse has no such field")

COMPLETION_TO_CONVERSE: Final[tuple[Rule, ...]] = (
    *field_rules(
        c.ChatCompletion,
        id=_NO_FIELD,
        object=_NO_FIELD,
        created=_NO_FIELD,
        model=_NO_FIELD,
        choices=Mapped("output.message and stopReason of the first choice; a request never asks for more"),
        usage=Mapped("usage; zeros if the server sends none"),
        service_tier=Mapped("serviceTier.type"),
        system_fingerprint=_NO_FIELD,
        metadata=_NEVER_REQUESTED,
        moderation=_NEVER_REQUESTED,
    ),
    *field_rules(
        c.ChatChoice,
        index=_NO_FIELD,
        message=Mapped("output.message"),
        finish_reason=Mapped(
            "stopReason, by the table of [endings](answers.md#how-an-answer-ended); stop is tool_use if there are tool "
            "calls, and an unknown word stays"
        ),
        stop_reason=Mapped("stopReason stop_sequence, if the server returns the matched text"),
        logprobs=_NEVER_REQUESTED,
    ),
    *field_rules(
        c.ChatMessage,
        role=Mapped("role assistant"),
        content=Mapped("text blocks, and reasoningContent for parts of that type; empty texts are left out"),
        refusal=Mapped("a text block, and stopReason content_filtered"),
        tool_calls=Mapped("toolUse blocks"),
        function_call=Mapped("a toolUse block"),
        reasoning=Mapped("reasoningContent without a signature"),
        reasoning_content=Mapped("reasoningContent without a signature"),
        annotations=_NO_FIELD,
        audio=_NEVER_REQUESTED,
        images=Mapped("a text block each with the image as Markdown, ![image](data:image/png;base64,...)"),
    ),
    *field_rules(
        c.ChatMessagePart,
        type=Mapped("a text or reasoningContent; references of Mistral are left out"),
        text=Mapped("text"),
        refusal=Mapped("text"),
        image_url=Mapped("a text block with the image as Markdown"),
        thinking=Mapped("reasoningContent, its texts joined"),
    ),
    *field_rules(c.ChatMessageThought, text=Mapped("reasoningContent")),
    *field_rules(
        c.ChatToolCall,
        id=Mapped("toolUseId; call_ and a unique hash if the server sends none"),
        type=_NO_FIELD,
        function=Mapped("name and input"),
        custom=_NEVER_REQUESTED,
        extra_content=_GEMINI_SIGNATURE,
    ),
    *field_rules(c.ChatExtraContent, google=_GEMINI_SIGNATURE),
    *field_rules(c.ChatGoogleContent, thought_signature=_GEMINI_SIGNATURE),
    *field_rules(
        c.ChatCalledFunction,
        name=Mapped("name"),
        arguments=Mapped('input, repaired if possible; {"INVALID_JSON": text} if it is not a JSON object'),
    ),
    *field_rules(
        c.ChatUsage,
        prompt_tokens=Mapped("inputTokens, without those read from or written to a cache"),
        completion_tokens=Mapped("outputTokens"),
        total_tokens=Mapped("totalTokens; the sum if the server sends none"),
        prompt_tokens_details=Mapped("cacheReadInputTokens and cacheWriteInputTokens"),
        completion_tokens_details=_NO_FIELD,
    ),
    *field_rules(
        c.ChatPromptTokensDetails,
        cached_tokens=Mapped("cacheReadInputTokens"),
        cache_write_tokens=Mapped("cacheWriteInputTokens"),
        audio_tokens=_NO_FIELD,
        image_tokens=_NO_FIELD,
        text_tokens=_NO_FIELD,
    ),
    *field_rules(
        c.ChatCompletionTokensDetails,
        reasoning_tokens=_NO_FIELD,
        accepted_prediction_tokens=_NO_FIELD,
        rejected_prediction_tokens=_NO_FIELD,
        audio_tokens=_NO_FIELD,
        text_tokens=_NO_FIELD,
    ),
)
"""Every field of every model of a Chat Completions answer and its translation to Converse."""
