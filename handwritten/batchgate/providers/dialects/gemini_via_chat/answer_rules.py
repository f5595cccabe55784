"""Rules that translate a Chat Completions answer to one of generateContent, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules
from batchgate_api import chat_completions as c

_NO_FIELD: Final = Ignored("Gemini has no such field")
_NEVER_REQUESTED: Final = Ignored("translated requests never ask for it")

CHAT_TO_GEMINI_ANSWER: Final[tuple[Rule, ...]] = (
    *field_rules(
        c.ChatCompletion,
        id=Mapped("responseId; the custom_id if the server sends none"),
        object=_NO_FIELD,
        created=_NO_FIELD,
        model=Mapped("modelVersion; the requested one if the server sends none"),
        choices=Mapped("one candidate, of the first choice; a request never asks for more"),
        usage=Mapped("usageMetadata; zeros if the server sends none"),
        service_tier=_NO_FIELD,
        system_fingerprint=_NO_FIELD,
        metadata=_NEVER_REQUESTED,
        moderation=_NEVER_REQUESTED,
    ),
    *field_rules(
        c.ChatChoice,
        index=Mapped("index 0"),
        message=Mapped("content"),
        finish_reason=Mapped(
            "finishReason, by the table of [endings](answers.md#how-an-answer-ended): STOP, MAX_TOKENS or SAFETY; an "
            "unknown word is STOP, and finishMessage has it"
        ),
        stop_reason=_NO_FIELD,
        logprobs=_NEVER_REQUESTED,
    ),
    *field_rules(
        c.ChatMessage,
        role=Mapped("role model"),
        content=Mapped("text parts, and thoughts for parts of that type; empty texts are left out"),
        refusal=Mapped("a text part and finishReason SAFETY"),
        tool_calls=Mapped("functionCall parts"),
        function_call=Mapped("a functionCall part"),
        reasoning=Mapped("a thought"),
        reasoning_content=Mapped("a thought"),
        annotations=_NO_FIELD,
        audio=_NEVER_REQUESTED,
        images=Mapped("inlineData for data URLs; other images are text parts with Markdown"),
    ),
    *field_rules(
        c.ChatMessagePart,
        type=Mapped("text, or a thought; references of Mistral are left out"),
        text=Mapped("text"),
        refusal=Mapped("text"),
        image_url=Mapped("inlineData for a data URL, or else a text part with Markdown"),
        thinking=Mapped("a thought, its texts joined"),
    ),
    *field_rules(c.ChatMessageThought, text=Mapped("a thought")),
    *field_rules(
        c.ChatToolCall,
        id=Mapped("id; call_ and a unique hash if the server sends none"),
        type=_NO_FIELD,
        function=Mapped("name and args"),
        custom=_NEVER_REQUESTED,
        extra_content=Mapped("see ChatGoogleContent"),
    ),
    *field_rules(c.ChatExtraContent, google=Mapped("see ChatGoogleContent")),
    *field_rules(c.ChatGoogleContent, thought_signature=Mapped("thoughtSignature of the part")),
    *field_rules(
        c.ChatCalledFunction,
        name=Mapped("name"),
        arguments=Mapped('args, repaired if possible; {"INVALID_JSON": text} if it is not a JSON object'),
    ),
    *field_rules(
        c.ChatUsage,
        prompt_tokens=Mapped("promptTokenCount"),
        completion_tokens=Mapped("candidatesTokenCount, without those of thoughts"),
        total_tokens=Mapped("totalTokenCount"),
        prompt_tokens_details=Mapped("cachedContentTokenCount"),
        completion_tokens_details=Mapped("thoughtsTokenCount"),
    ),
    *field_rules(
        c.ChatPromptTokensDetails,
        cached_tokens=Mapped("cachedContentTokenCount"),
        cache_write_tokens=_NO_FIELD,
        audio_tokens=_NO_FIELD,
        image_tokens=_NO_FIELD,
        text_tokens=_NO_FIELD,
    ),
    *field_rules(
        c.ChatCompletionTokensDetails,
        reasoning_tokens=Mapped("thoughtsTokenCount"),
        accepted_prediction_tokens=_NO_FIELD,
        rejected_prediction_tokens=_NO_FIELD,
        audio_tokens=_NO_FIELD,
        text_tokens=_NO_FIELD,
    ),
)
"""Every field of every model of a Chat Completions answer and its translation to generateContent."""
