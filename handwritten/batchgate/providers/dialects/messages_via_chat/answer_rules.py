"""Rules that translate a Chat Completions answer to a Message, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules
from batchgate_api import chat_completions as c

_NEVER_REQUESTED: Final = Ignored("translated requests never ask for it")
_NO_FIELD: Final = Ignored("Messages has no such field")

_SIGNATURE: Final = Mapped(
    "a redacted_thinking block before the tool_use block, whose data only gemini and its OpenAI-compatible API read"
)

CHAT_TO_MESSAGE: Final[tuple[Rule, ...]] = (
    *field_rules(
        c.ChatCompletion,
        id=Mapped("id; msg_ and the custom_id if the server sends none"),
        object=_NO_FIELD,
        created=_NO_FIELD,
        model=Mapped("model; the requested one if the server sends none"),
        choices=Mapped("content and stop_reason of the first choice; a request never asks for more"),
        usage=Mapped("usage; zeros if the server sends none"),
        service_tier=Mapped("usage.service_tier: default is standard, priority is priority, any other value is null"),
        system_fingerprint=_NO_FIELD,
        metadata=_NEVER_REQUESTED,
        moderation=_NEVER_REQUESTED,
    ),
    *field_rules(
        c.ChatChoice,
        index=_NO_FIELD,
        message=Mapped("content"),
        finish_reason=Mapped(
            "stop_reason, by the table of [endings](answers.md#how-an-answer-ended); stop is tool_use if there are "
            "tool calls, and stop_details shows an unknown word"
        ),
        stop_reason=Mapped("stop_sequence, if the server returns the matched text"),
        logprobs=_NEVER_REQUESTED,
    ),
    *field_rules(
        c.ChatMessage,
        role=Mapped("role assistant"),
        content=Mapped("text blocks, and thinking blocks for parts of that type; empty texts are left out"),
        refusal=Mapped("a text block, stop_reason refusal and stop_details.explanation"),
        tool_calls=Mapped("tool_use blocks"),
        function_call=Mapped("a tool_use block"),
        reasoning=Mapped("a thinking block with an empty signature"),
        reasoning_content=Mapped("a thinking block with an empty signature"),
        annotations=_NO_FIELD,
        audio=_NEVER_REQUESTED,
        images=Mapped("a text block each with the image as Markdown, ![image](data:image/png;base64,...)"),
    ),
    *field_rules(
        c.ChatMessagePart,
        type=Mapped("the type of the block: text or thinking; references of Mistral are left out"),
        text=Mapped("text"),
        refusal=Mapped("text"),
        image_url=Mapped("a text block with the image as Markdown"),
        thinking=Mapped("thinking, its texts joined"),
    ),
    *field_rules(c.ChatMessageThought, text=Mapped("thinking")),
    *field_rules(
        c.ChatToolCall,
        id=Mapped("id; call_ and a unique hash if the server sends none"),
        type=_NO_FIELD,
        function=Mapped("name and input"),
        custom=_NEVER_REQUESTED,
        extra_content=_SIGNATURE,
    ),
    *field_rules(c.ChatExtraContent, google=_SIGNATURE),
    *field_rules(c.ChatGoogleContent, thought_signature=_SIGNATURE),
    *field_rules(
        c.ChatCalledFunction,
        name=Mapped("name"),
        arguments=Mapped('input, repaired if possible; {"INVALID_JSON": text} if it is not a JSON object'),
    ),
    *field_rules(
        c.ChatUsage,
        prompt_tokens=Mapped("input_tokens, without those read from or written to a cache"),
        completion_tokens=Mapped("output_tokens"),
        total_tokens=_NO_FIELD,
        prompt_tokens_details=Mapped("cache_read_input_tokens and cache_creation_input_tokens"),
        completion_tokens_details=Mapped("output_tokens_details"),
    ),
    *field_rules(
        c.ChatPromptTokensDetails,
        cached_tokens=Mapped("cache_read_input_tokens"),
        cache_write_tokens=Mapped("cache_creation_input_tokens"),
        audio_tokens=_NO_FIELD,
        image_tokens=_NO_FIELD,
        text_tokens=_NO_FIELD,
    ),
    *field_rules(
        c.ChatCompletionTokensDetails,
        reasoning_tokens=Mapped("output_tokens_details.thinking_tokens"),
        accepted_prediction_tokens=_NO_FIELD,
        rejected_prediction_tokens=_NO_FIELD,
        audio_tokens=_NO_FIELD,
        text_tokens=_NO_FIELD,
    ),
)
"""Every field of every model of a Chat Completions answer and its translation."""
