"""Rules that translate a Response to a Chat Completions answer, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules
from batchgate_api import responses as r

_NO_FIELD: Final = Ignored("Chat Completions has no such field")
_REPEATED: Final = Ignored("it repeats a field of the request")
_NEVER_REQUESTED: Final = Ignored("translated requests never ask for it")

RESPONSE_TO_CHAT: Final[tuple[Rule, ...]] = (
    *field_rules(
        r.Response,
        id=Mapped("id; chatcmpl- and the custom_id if the server sends none"),
        object=Mapped("object chat.completion"),
        created_at=Mapped("created"),
        completed_at=_NO_FIELD,
        status=Mapped("finish_reason; a failed Response is an error"),
        error=Mapped("the error message"),
        incomplete_details=Mapped("finish_reason: content_filter, or length for any other value"),
        model=Mapped("model; the requested one if the server sends none"),
        output=Mapped("message of the only choice; items of OpenAI's built-in tools are rejected, except images"),
        usage=Mapped("usage"),
        service_tier=Mapped("service_tier"),
        instructions=_REPEATED,
        max_output_tokens=_REPEATED,
        max_tool_calls=_REPEATED,
        metadata=_REPEATED,
        parallel_tool_calls=_REPEATED,
        previous_response_id=_REPEATED,
        reasoning=_REPEATED,
        store=_REPEATED,
        temperature=_REPEATED,
        text=_REPEATED,
        tool_choice=_REPEATED,
        tools=_REPEATED,
        top_logprobs=_REPEATED,
        top_p=_REPEATED,
        truncation=_REPEATED,
        background=_REPEATED,
        safety_identifier=_REPEATED,
        user=_REPEATED,
    ),
    *field_rules(r.ResponseFailure, code=Mapped("part of the error message"), message=Mapped("message of the error")),
    *field_rules(r.ResponseIncompleteDetails, reason=Mapped("finish_reason")),
    *field_rules(
        r.ResponseMessage,
        type=Mapped("message"),
        id=_NO_FIELD,
        role=Mapped("role assistant"),
        status=_NO_FIELD,
        phase=_NO_FIELD,
        content=Mapped("content and refusal, each joined with those of the other messages"),
    ),
    *field_rules(
        r.ResponseMessagePart,
        type=Mapped("content or refusal; any other type is an error"),
        text=Mapped("content"),
        annotations=_NEVER_REQUESTED,
        logprobs=Mapped("logprobs.content of the choice, from the first part that has them"),
        refusal=Mapped("refusal"),
    ),
    *field_rules(
        r.ResponseReasoning,
        type=Mapped("message.reasoning_content"),
        id=_NO_FIELD,
        status=_NO_FIELD,
        summary=Mapped("message.reasoning_content, if there is no content"),
        content=Mapped("message.reasoning_content"),
        encrypted_content=_NO_FIELD,
    ),
    *field_rules(r.ResponseThought, type=_NO_FIELD, text=Mapped("message.reasoning_content")),
    *field_rules(
        r.ResponseFunctionCall,
        type=Mapped("a tool call with the type function"),
        id=_NO_FIELD,
        call_id=Mapped("tool_calls.id"),
        name=Mapped("function.name"),
        arguments=Mapped("function.arguments"),
        status=_NO_FIELD,
    ),
    *field_rules(
        r.ResponseCustomToolCall,
        type=Mapped("a tool call with the type custom"),
        id=_NO_FIELD,
        call_id=Mapped("tool_calls.id"),
        name=Mapped("custom.name"),
        input=Mapped("custom.input"),
        status=_NO_FIELD,
    ),
    *field_rules(
        r.ResponseUsage,
        input_tokens=Mapped("prompt_tokens"),
        input_tokens_details=Mapped("prompt_tokens_details"),
        output_tokens=Mapped("completion_tokens"),
        output_tokens_details=Mapped("completion_tokens_details"),
        total_tokens=Mapped("total_tokens"),
    ),
    *field_rules(
        r.ResponseInputTokensDetails,
        cached_tokens=Mapped("cached_tokens"),
        cache_write_tokens=Mapped("cache_write_tokens"),
    ),
    *field_rules(r.ResponseOutputTokensDetails, reasoning_tokens=Mapped("reasoning_tokens")),
)
"""Every field of every model of a Response and its translation to Chat Completions."""
