"""Rules that translate a Message to a Chat Completions answer, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rejected, RejectedFields, Rule, field_rules, model_rules
from batchgate_api import messages as m

_NO_FIELD: Final = Ignored("Chat Completions has no such field")
_NEVER_REQUESTED: Final = Ignored("translated requests never ask for it")

MESSAGE_TO_CHAT: Final[tuple[Rule, ...]] = (
    *field_rules(
        m.Message,
        id=Mapped("id"),
        type=Mapped("object chat.completion"),
        role=Mapped("message.role"),
        model=Mapped("model"),
        content=Mapped("message of the only choice: content, reasoning_content and tool_calls"),
        stop_reason=Mapped(
            "finish_reason, by the table of [endings](answers.md#how-an-answer-ended); refusal is stop if it has an "
            "explanation and no category; an unknown word stays"
        ),
        stop_sequence=Mapped("stop_reason of the choice, like vLLM"),
        stop_details=Mapped("message.refusal, if its type is refusal"),
        usage=Mapped("usage"),
        container=_NEVER_REQUESTED,
        diagnostics=_NEVER_REQUESTED,
        context_management=_NEVER_REQUESTED,
    ),
    *field_rules(
        m.StopDetails,
        type=_NO_FIELD,
        category=Mapped("finish_reason content_filter, if there is one"),
        explanation=Mapped("message.refusal; a text block with the same text is left out"),
    ),
    *field_rules(m.TextBlock, text=Mapped("message.content, joined with the other texts"), citations=_NEVER_REQUESTED),
    *field_rules(m.ThinkingBlock, thinking=Mapped("message.reasoning_content"), signature=_NO_FIELD),
    *model_rules(Ignored("only Anthropic can decrypt it"), m.RedactedThinkingBlock),
    *field_rules(
        m.ToolUseBlock,
        id=Mapped("tool_calls.id"),
        name=Mapped("function.name"),
        input=Mapped('function.arguments, as text; the text of {"INVALID_JSON": text}'),
        caller=_NEVER_REQUESTED,
        toolset_name=_NEVER_REQUESTED,
    ),
    *model_rules(
        Rejected(
            "results of Anthropic's built-in tools cannot be translated to Chat Completions; read the results as "
            "Messages"
        ),
        m.ServerToolUseBlock,
        m.WebSearchToolResultBlock,
        m.WebFetchToolResultBlock,
        m.CodeExecutionToolResultBlock,
        m.BashCodeExecutionToolResultBlock,
        m.TextEditorCodeExecutionToolResultBlock,
        m.ToolSearchToolResultBlock,
        m.AdvisorToolResultBlock,
        m.McpToolUseBlock,
        m.McpToolResultBlock,
        m.McpToolListingBlock,
        m.ContainerUploadBlock,
        m.CompactionBlock,
        m.FallbackBlock,
    ),
    *field_rules(
        m.Usage,
        input_tokens=Mapped("part of prompt_tokens"),
        output_tokens=Mapped("completion_tokens"),
        cache_creation_input_tokens=Mapped("part of prompt_tokens; prompt_tokens_details.cache_write_tokens"),
        cache_read_input_tokens=Mapped("part of prompt_tokens; prompt_tokens_details.cached_tokens"),
        cache_creation=_NO_FIELD,
        output_tokens_details=Mapped("completion_tokens_details"),
        server_tool_use=_NEVER_REQUESTED,
        service_tier=Mapped("service_tier: standard is default, priority is priority, other values are left out"),
        inference_geo=_NO_FIELD,
        speed=_NO_FIELD,
        iterations=_NO_FIELD,
        fallback_credit=_NO_FIELD,
    ),
    *field_rules(m.OutputTokensDetails, thinking_tokens=Mapped("completion_tokens_details.reasoning_tokens")),
    *field_rules(m.CacheCreation, ephemeral_5m_input_tokens=_NO_FIELD, ephemeral_1h_input_tokens=_NO_FIELD),
)
"""Every field of every model of a Message and its translation to Chat Completions."""

REJECTED: Final = RejectedFields(MESSAGE_TO_CHAT)
"""The fields and models that `MESSAGE_TO_CHAT` rejects."""
