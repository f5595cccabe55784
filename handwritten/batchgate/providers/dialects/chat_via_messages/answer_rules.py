"""The rules by which a Message becomes a Chat Completions answer: every field of every model, as data."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import Ignored, Mapped, Rejected, RejectedFields, Rule, field_rules, model_rules
from batchgate_api import messages as m

_NO_PLACE: Final = Ignored("a Chat Completion has no place for it")
_NEVER_ASKED: Final = Ignored("no translated request asks for it")

MESSAGE_TO_CHAT: Final[tuple[Rule, ...]] = (
    *field_rules(
        m.Message,
        id=Mapped("id"),
        type=Mapped("object chat.completion"),
        role=Mapped("message.role"),
        model=Mapped("model"),
        content=Mapped("message of the only choice: content, reasoning_content and tool_calls"),
        stop_reason=Mapped(
            "finish_reason: max_tokens and model_context_window_exceeded are length, and so are pause_turn and "
            "compaction; tool_use is tool_calls, refusal content_filter or, with an explanation and no category, stop; "
            "others are stop"
        ),
        stop_sequence=Mapped("stop_reason of the choice, as vLLM has it"),
        stop_details=Mapped("message.refusal"),
        usage=Mapped("usage"),
        container=_NEVER_ASKED,
        diagnostics=_NEVER_ASKED,
        context_management=_NEVER_ASKED,
    ),
    *field_rules(
        m.RefusalStopDetails,
        type=_NO_PLACE,
        category=Mapped("finish_reason content_filter where there is one"),
        explanation=Mapped("message.refusal; a text block with the same words is not said twice"),
    ),
    *field_rules(m.TextBlock, text=Mapped("message.content, joined with the other texts"), citations=_NEVER_ASKED),
    *field_rules(m.ThinkingBlock, thinking=Mapped("message.reasoning_content"), signature=_NO_PLACE),
    *model_rules(Ignored("only Anthropic can read it"), m.RedactedThinkingBlock),
    *field_rules(
        m.ToolUseBlock,
        id=Mapped("tool_calls.id"),
        name=Mapped("function.name"),
        input=Mapped("function.arguments, as text"),
        caller=_NEVER_ASKED,
        toolset_name=_NEVER_ASKED,
    ),
    *model_rules(
        Rejected("what Anthropic's own tools do has no form in Chat Completions; read the results as Messages"),
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
        cache_creation=_NO_PLACE,
        output_tokens_details=Mapped("completion_tokens_details"),
        server_tool_use=_NEVER_ASKED,
        service_tier=Mapped("service_tier: standard is default, priority is priority, others are left out"),
        inference_geo=_NO_PLACE,
        speed=_NO_PLACE,
        iterations=_NO_PLACE,
        fallback_credit=_NO_PLACE,
    ),
    *field_rules(m.OutputTokensDetails, thinking_tokens=Mapped("completion_tokens_details.reasoning_tokens")),
    *field_rules(m.CacheCreation, ephemeral_5m_input_tokens=_NO_PLACE, ephemeral_1h_input_tokens=_NO_PLACE),
)
"""Every field of every model of a Message, and what becomes of it in a Chat Completion."""

REJECTED: Final = RejectedFields(MESSAGE_TO_CHAT)
"""The refusals among `MESSAGE_TO_CHAT`."""
