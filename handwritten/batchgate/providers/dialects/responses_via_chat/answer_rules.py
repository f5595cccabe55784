"""The rules by which a Chat Completions answer becomes a Response: every field of every model, as data."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules
from batchgate_api import chat_completions as c

_NEVER_ASKED: Final = Ignored("no translated request asks for it")
_NO_PLACE: Final = Ignored("a Response has no place for it")

CHAT_TO_RESPONSE: Final[tuple[Rule, ...]] = (
    *field_rules(
        c.ChatCompletion,
        id=Mapped("id; resp_ and the custom_id where the server sends none"),
        object=Mapped("object response"),
        created=Mapped("created_at; the time of the translation where the server sends none"),
        model=Mapped("model; the one asked for where the server sends none"),
        choices=Mapped("output and status of the first; a request never asks for more"),
        usage=Mapped("usage; zeros where the server does not count"),
        service_tier=Mapped("service_tier"),
        system_fingerprint=_NO_PLACE,
        metadata=Ignored("the Response repeats that of the request"),
        moderation=_NO_PLACE,
    ),
    *field_rules(
        c.ChatChoice,
        index=_NO_PLACE,
        message=Mapped("output: a reasoning item, a message and the calls, as far as they are there"),
        finish_reason=Mapped(
            "status: length is incomplete because of max_output_tokens, content_filter because of content_filter, "
            "others are completed"
        ),
        stop_reason=_NO_PLACE,
        logprobs=Mapped("logprobs of the output_text part"),
    ),
    *field_rules(
        c.ChatMessage,
        role=Mapped("role assistant"),
        content=Mapped("an output_text part; a reasoning item for parts of the type thinking"),
        refusal=Mapped("a refusal part"),
        tool_calls=Mapped("function_call and custom_tool_call items"),
        function_call=Mapped("a function_call item"),
        reasoning=Mapped("a reasoning item with the content reasoning_text"),
        reasoning_content=Mapped("a reasoning item with the content reasoning_text"),
        annotations=_NEVER_ASKED,
        audio=_NEVER_ASKED,
    ),
    *field_rules(
        c.ChatMessagePart,
        type=Mapped("output_text or reasoning_text"),
        text=Mapped("text, joined with the other texts"),
        thinking=Mapped("text of the reasoning item, its texts joined"),
    ),
    *field_rules(c.ChatMessageThought, text=Mapped("text of the reasoning item")),
    *field_rules(
        c.ChatToolCall,
        id=Mapped("call_id; call_ and its index where the server sends none"),
        type=_NO_PLACE,
        function=Mapped("a function_call item"),
        custom=Mapped("a custom_tool_call item"),
    ),
    *field_rules(c.ChatCalledFunction, name=Mapped("name"), arguments=Mapped("arguments, as text")),
    *field_rules(
        c.ChatUsage,
        prompt_tokens=Mapped("input_tokens"),
        completion_tokens=Mapped("output_tokens"),
        total_tokens=Mapped("total_tokens; the sum where the server sends none"),
        prompt_tokens_details=Mapped("input_tokens_details"),
        completion_tokens_details=Mapped("output_tokens_details"),
    ),
    *field_rules(
        c.ChatPromptTokensDetails,
        cached_tokens=Mapped("cached_tokens"),
        cache_write_tokens=Mapped("cache_write_tokens"),
        audio_tokens=_NO_PLACE,
        image_tokens=_NO_PLACE,
        text_tokens=_NO_PLACE,
    ),
    *field_rules(
        c.ChatCompletionTokensDetails,
        reasoning_tokens=Mapped("reasoning_tokens"),
        accepted_prediction_tokens=_NO_PLACE,
        rejected_prediction_tokens=_NO_PLACE,
        audio_tokens=_NO_PLACE,
        text_tokens=_NO_PLACE,
    ),
)
"""Every field of every model of a Chat Completions answer, and what becomes of it in a Response."""
