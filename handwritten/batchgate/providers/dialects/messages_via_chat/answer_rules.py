"""The rules by which a Chat Completions answer becomes a Message: every field of every model, as data."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules
from batchgate_api import chat_completions as c

_NEVER_ASKED: Final = Ignored("no translated request asks for it")
_NO_PLACE: Final = Ignored("a Message has no place for it")

CHAT_TO_MESSAGE: Final[tuple[Rule, ...]] = (
    *field_rules(
        c.ChatCompletion,
        id=Mapped("id; msg_ and the custom_id where the server sends none"),
        object=_NO_PLACE,
        created=_NO_PLACE,
        model=Mapped("model; the one asked for where the server sends none"),
        choices=Mapped("content and stop_reason of the first; a request never asks for more"),
        usage=Mapped("usage; zeros where the server does not count"),
        service_tier=Mapped("usage.service_tier: default is standard, priority is priority, others null"),
        system_fingerprint=_NO_PLACE,
        metadata=_NEVER_ASKED,
        moderation=_NEVER_ASKED,
    ),
    *field_rules(
        c.ChatChoice,
        index=_NO_PLACE,
        message=Mapped("content"),
        finish_reason=Mapped(
            "stop_reason: stop is end_turn, length max_tokens, tool_calls and function_call tool_use, content_filter "
            "refusal, a server's own end_turn; with calls, stop is tool_use"
        ),
        stop_reason=Mapped("stop_sequence, where the server tells the text that it met"),
        logprobs=_NEVER_ASKED,
    ),
    *field_rules(
        c.ChatMessage,
        role=Mapped("role assistant"),
        content=Mapped("text blocks, and thinking blocks for parts of that type"),
        refusal=Mapped("a text block, stop_reason refusal and stop_details.explanation"),
        tool_calls=Mapped("tool_use blocks"),
        function_call=Mapped("a tool_use block"),
        reasoning=Mapped("a thinking block with an empty signature"),
        reasoning_content=Mapped("a thinking block with an empty signature"),
        annotations=_NO_PLACE,
        audio=_NEVER_ASKED,
    ),
    *field_rules(
        c.ChatMessagePart,
        type=Mapped("the type of the block: text or thinking"),
        text=Mapped("text"),
        thinking=Mapped("thinking, its texts joined"),
    ),
    *field_rules(c.ChatMessageThought, text=Mapped("thinking")),
    *field_rules(
        c.ChatToolCall,
        id=Mapped("id; call_ and its index where the server sends none"),
        type=_NO_PLACE,
        function=Mapped("name and input"),
        custom=_NEVER_ASKED,
    ),
    *field_rules(
        c.ChatCalledFunction,
        name=Mapped("name"),
        arguments=Mapped("input; an error where it is no JSON object"),
    ),
    *field_rules(
        c.ChatUsage,
        prompt_tokens=Mapped("input_tokens, less those read from or written into a cache"),
        completion_tokens=Mapped("output_tokens"),
        total_tokens=_NO_PLACE,
        prompt_tokens_details=Mapped("cache_read_input_tokens and cache_creation_input_tokens"),
        completion_tokens_details=Mapped("output_tokens_details"),
    ),
    *field_rules(
        c.ChatPromptTokensDetails,
        cached_tokens=Mapped("cache_read_input_tokens"),
        cache_write_tokens=Mapped("cache_creation_input_tokens"),
        audio_tokens=_NO_PLACE,
        image_tokens=_NO_PLACE,
        text_tokens=_NO_PLACE,
    ),
    *field_rules(
        c.ChatCompletionTokensDetails,
        reasoning_tokens=Mapped("output_tokens_details.thinking_tokens"),
        accepted_prediction_tokens=_NO_PLACE,
        rejected_prediction_tokens=_NO_PLACE,
        audio_tokens=_NO_PLACE,
        text_tokens=_NO_PLACE,
    ),
)
"""Every field of every model of a Chat Completions answer, and what becomes of it."""
