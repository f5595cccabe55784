"""Translates a request: Chat Completions to Messages, by the rules of `CHAT_TO_MESSAGES`."""

from __future__ import annotations

from typing import assert_never

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_fields import positive_max_tokens, stop_sequences, temperature_up_to_one
from batchgate.providers.dialects.chat_via_messages.messages import translate_conversation
from batchgate.providers.dialects.chat_via_messages.request_rules import DEFAULT_MAX_TOKENS, REJECTED
from batchgate.providers.dialects.chat_via_messages.tools import custom_tools, messages_tool_choice
from batchgate.providers.dialects.rules import unset_if_null
from batchgate.providers.dialects.tool_call_ids import ANTHROPIC_TOOL_IDS, fit_tool_call_ids
from batchgate_api import chat_completions as c
from batchgate_api import messages as m


def chat_to_messages(request: c.ChatCompletionRequest, *, model: str) -> m.MessageParams:
    """Translate a Chat Completions request to a Messages request for ``model``.

    Raises `Untranslatable` with the path of a field that Messages does not support.
    """
    REJECTED.check(request, "")
    translated = translate_conversation(fit_tool_call_ids(request.messages, ANTHROPIC_TOOL_IDS))
    if not translated.turns:
        raise Untranslatable("messages", "should have at least one message with content beside the instructions")
    _check_last_turn(request, translated.turns)
    return m.MessageParams(
        model=model,
        max_tokens=_max_tokens(request),
        system=translated.system,
        messages=[*translated.turns[:-1], _without_last_whitespace(translated.turns[-1])],
        temperature=temperature_up_to_one(request, "Messages"),
        top_p=unset_if_null(request.top_p),
        top_k=unset_if_null(request.top_k),
        stop_sequences=stop_sequences(request),
        tools=custom_tools(request.tools),
        tool_choice=messages_tool_choice(request),
        output_config=_output_config(request),
        thinking=_thinking(request),
        metadata=_metadata(request),
        service_tier=_service_tier(request),
    )


def _max_tokens(request: c.ChatCompletionRequest) -> int:
    limit = positive_max_tokens(request)
    return DEFAULT_MAX_TOKENS if limit is UNSET else limit


def _output_config(request: c.ChatCompletionRequest) -> m.OutputConfig | UnsetType:
    output_format, effort = _output_format(request), _effort(request)
    if output_format is UNSET and effort is UNSET:
        return UNSET
    return m.OutputConfig(format=output_format, effort=effort)


def _output_format(request: c.ChatCompletionRequest) -> m.JsonOutputFormat | UnsetType:
    match request.response_format:
        case None | UnsetType() | c.ChatTextFormat():
            return UNSET
        case c.ChatJsonSchemaFormat(json_schema=described):
            REJECTED.check(described, "response_format.json_schema")
            if isinstance(described.schema, UnsetType):
                raise Untranslatable("response_format.json_schema.schema", "Field required")
            return m.JsonOutputFormat(type="json_schema", schema=described.schema)
        case c.ChatJsonObjectFormat():
            raise REJECTED.error(request.response_format, "response_format")
        case _:
            assert_never(request.response_format)


def _effort(request: c.ChatCompletionRequest) -> m.Effort | UnsetType:
    match request.reasoning_effort:
        case None | UnsetType() | "none":
            return UNSET
        case "minimal":
            raise Untranslatable("reasoning_effort", "the lowest effort of Messages is low")
        case effort:
            return effort


def _thinking(request: c.ChatCompletionRequest) -> m.ThinkingConfig | UnsetType:
    budget, effort = unset_if_null(request.thinking_token_budget), unset_if_null(request.reasoning_effort)
    if budget is not UNSET:
        if effort == "none":
            raise Untranslatable("thinking_token_budget", "it contradicts reasoning_effort none; leave one out")
        return m.ThinkingEnabled(budget_tokens=budget)
    if effort is UNSET:
        return UNSET
    return m.ThinkingDisabled() if effort == "none" else m.ThinkingAdaptive()


def _metadata(request: c.ChatCompletionRequest) -> m.Metadata | UnsetType:
    newer, older = unset_if_null(request.safety_identifier), unset_if_null(request.user)
    if newer is not UNSET and older is not UNSET and newer != older:
        raise Untranslatable("user", "safety_identifier has a different value; leave one out")
    user_id = older if newer is UNSET else newer
    return UNSET if user_id is UNSET else m.Metadata(user_id=user_id)


def _service_tier(request: c.ChatCompletionRequest) -> m.ServiceTier | UnsetType:
    match request.service_tier:
        case None | UnsetType():
            return UNSET
        case "auto":
            return "auto"
        case "default":
            return "standard_only"
        case tier:
            raise Untranslatable("service_tier", f"{tier} is a tier that only OpenAI has; use auto or default")


def _without_last_whitespace(turn: m.MessageParam) -> m.MessageParam:
    """Strip the end of a last assistant message: Anthropic rejects trailing white space there."""
    match turn:
        case m.AssistantMessageParam(content=str() as text):
            return replace(turn, content=text.rstrip())
        case m.AssistantMessageParam(content=[*others, m.TextBlockParam() as block]):
            return replace(turn, content=[*others, replace(block, text=block.text.rstrip())])
        case _:
            return turn


def _check_last_turn(request: c.ChatCompletionRequest, turns: list[m.MessageParam]) -> None:
    """Reject requests that would change their meaning: Messages always continues a last assistant message."""
    from_assistant = isinstance(request.messages[-1], c.ChatAssistantMessage)
    asked = request.continue_final_message is True
    if isinstance(turns[-1], m.AssistantMessageParam) and not asked:
        said = [index for index, sent in enumerate(request.messages) if isinstance(sent, c.ChatAssistantMessage)]
        last = said[-1]
        raise Untranslatable(
            f"messages.{last}",
            "Messages would continue it; end with a user message, or set continue_final_message",
        )
    if asked and not from_assistant:
        raise Untranslatable(
            "continue_final_message", "there is nothing to continue, as the last message is not the assistant's"
        )
    if isinstance(request.add_generation_prompt, bool) and request.add_generation_prompt is asked:
        raise Untranslatable("add_generation_prompt", "it should be the opposite of continue_final_message")
