"""Rules that translate a Chat Completions answer to a Response, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules
from batchgate_api import chat_completions as c

_NEVER_REQUESTED: Final = Ignored("translated requests never ask for it")
_NO_FIELD: Final = Ignored("Responses has no such field")

_SIGNATURE: Final = Ignored(
    "Responses has no place for it; with the call in a later request, Gemini gets its value that skips the check"
)

CHAT_TO_RESPONSE: Final[tuple[Rule, ...]] = (
    *field_rules(
        c.ChatCompletion,
        id=Mapped("id; resp_ and the custom_id if the server sends none"),
        object=Mapped("object response"),
        created=Mapped("created_at; the time of the translation if the server sends none"),
        model=Mapped("model; the requested one if the server sends none"),
        choices=Mapped("output and status of the first choice; a request never asks for more"),
        usage=Mapped("usage; zeros if the server sends none"),
        service_tier=Mapped("service_tier"),
        system_fingerprint=_NO_FIELD,
        metadata=Ignored("the Response repeats the metadata of the request"),
        moderation=_NO_FIELD,
    ),
    *field_rules(
        c.ChatChoice,
        index=_NO_FIELD,
        message=Mapped("output: a reasoning item, a message and the tool calls, if present"),
        finish_reason=Mapped(
            "status and incomplete_details, by the table of [endings](answers.md#how-an-answer-ended); metadata shows "
            "an unknown word"
        ),
        stop_reason=_NO_FIELD,
        logprobs=Mapped("logprobs of the output_text part"),
    ),
    *field_rules(
        c.ChatMessage,
        role=Mapped("role assistant"),
        content=Mapped("an output_text part; a reasoning item for parts with the type thinking"),
        refusal=Mapped("a refusal part"),
        tool_calls=Mapped("function_call and custom_tool_call items"),
        function_call=Mapped("a function_call item"),
        reasoning=Mapped("a reasoning item with the content reasoning_text"),
        reasoning_content=Mapped("a reasoning item with the content reasoning_text"),
        annotations=_NEVER_REQUESTED,
        audio=_NEVER_REQUESTED,
        images=Mapped("image_generation_call items; Markdown in the text for an image that is not a data URL"),
    ),
    *field_rules(
        c.ChatMessagePart,
        type=Mapped("output_text or reasoning_text; references of Mistral are left out"),
        text=Mapped("text, joined with the other texts"),
        refusal=Mapped("text, joined with the other texts"),
        image_url=Mapped("an image_generation_call item; Markdown in the text if it is not a data URL"),
        thinking=Mapped("text of the reasoning item, its texts joined"),
    ),
    *field_rules(c.ChatMessageThought, text=Mapped("text of the reasoning item")),
    *field_rules(
        c.ChatToolCall,
        id=Mapped("call_id; call_ and a unique hash if the server sends none"),
        type=_NO_FIELD,
        function=Mapped("a function_call item"),
        custom=Mapped("a custom_tool_call item"),
        extra_content=_SIGNATURE,
    ),
    *field_rules(c.ChatExtraContent, google=_SIGNATURE),
    *field_rules(c.ChatGoogleContent, thought_signature=_SIGNATURE),
    *field_rules(c.ChatCalledFunction, name=Mapped("name"), arguments=Mapped("arguments, as text")),
    *field_rules(
        c.ChatUsage,
        prompt_tokens=Mapped("input_tokens"),
        completion_tokens=Mapped("output_tokens"),
        total_tokens=Mapped("total_tokens; the sum if the server sends none"),
        prompt_tokens_details=Mapped("input_tokens_details"),
        completion_tokens_details=Mapped("output_tokens_details"),
    ),
    *field_rules(
        c.ChatPromptTokensDetails,
        cached_tokens=Mapped("cached_tokens"),
        cache_write_tokens=Mapped("cache_write_tokens"),
        audio_tokens=_NO_FIELD,
        image_tokens=_NO_FIELD,
        text_tokens=_NO_FIELD,
    ),
    *field_rules(
        c.ChatCompletionTokensDetails,
        reasoning_tokens=Mapped("reasoning_tokens"),
        accepted_prediction_tokens=_NO_FIELD,
        rejected_prediction_tokens=_NO_FIELD,
        audio_tokens=_NO_FIELD,
        text_tokens=_NO_FIELD,
    ),
)
"""Every field of every model of a Chat Completions answer and its translation to a Response."""
