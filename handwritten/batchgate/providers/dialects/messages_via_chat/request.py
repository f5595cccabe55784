"""Translates requests: Messages to Chat Completions, by the rules of `MESSAGES_TO_CHAT` and the server capabilities."""

from __future__ import annotations

from typing import assert_never

from msgspec import UNSET, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.messages_via_chat.messages import chat_messages, ends_in_prefill
from batchgate.providers.dialects.messages_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.messages_via_chat.tools import chat_tool_choice, chat_tools, parallel_tool_calls
from batchgate.providers.dialects.rules import NO_ZERO_MAX_TOKENS, unset_if_null
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

SCHEMA_NAME = "answer"
"""The name of a schema, which Chat Completions requires and Messages lacks."""


def messages_to_chat(params: m.MessageParams, *, model: str, target: ServerCapabilities) -> c.ChatCompletionRequest:
    """Translate a Messages request to a Chat Completions request for ``model`` at the server ``target``.

    Raises `Untranslatable` with the path of a field that the server does not support.
    """
    REJECTED.check(params, "")
    prefill = True if ends_in_prefill(params.messages, target) else UNSET
    return c.ChatCompletionRequest(
        model=model,
        messages=chat_messages(params.system, params.messages, target),
        max_completion_tokens=_max_tokens(params, target, "max_completion_tokens"),
        max_tokens=_max_tokens(params, target, "max_tokens"),
        temperature=unset_if_null(params.temperature),
        top_p=unset_if_null(params.top_p),
        top_k=_top_k(params, target),
        stop=_stop(params, target),
        tools=chat_tools(params.tools, target),
        tool_choice=chat_tool_choice(params.tool_choice, target),
        parallel_tool_calls=parallel_tool_calls(params.tool_choice, target),
        response_format=_response_format(params),
        reasoning_effort=_reasoning_effort(params, target),
        thinking_token_budget=_thinking_budget(params, target),
        safety_identifier=_user(params, target, "safety_identifier"),
        user=_user(params, target, "user"),
        service_tier=_service_tier(params, target),
        continue_final_message=prefill,
        add_generation_prompt=UNSET if prefill is UNSET else False,
    )


def _max_tokens(params: m.MessageParams, target: ServerCapabilities, field: str) -> int | UnsetType:
    if params.max_tokens == 0:
        raise Untranslatable("max_tokens", NO_ZERO_MAX_TOKENS)
    return params.max_tokens if target.max_tokens_field == field else UNSET


def _top_k(params: m.MessageParams, target: ServerCapabilities) -> int | UnsetType:
    top_k = unset_if_null(params.top_k)
    if top_k is not UNSET and not target.top_k:
        raise Untranslatable("top_k", f"{target.name} does not support top_k; use temperature or top_p")
    return top_k


def _stop(params: m.MessageParams, target: ServerCapabilities) -> list[str] | UnsetType:
    stop = params.stop_sequences
    if not stop:
        return UNSET
    if target.stop_limit is not None and len(stop) > target.stop_limit:
        raise Untranslatable("stop_sequences", f"{target.name} takes at most {target.stop_limit}, not {len(stop)}")
    return stop


def _user(params: m.MessageParams, target: ServerCapabilities, field: str) -> str | UnsetType:
    if not params.metadata or params.metadata.user_id is None:
        return UNSET
    user = params.metadata.user_id
    if user is not UNSET and target.user_field is None:
        raise Untranslatable("metadata.user_id", f"{target.name} has no field for the user; leave it out")
    return user if target.user_field == field else UNSET


def _service_tier(params: m.MessageParams, target: ServerCapabilities) -> c.ChatServiceTier | UnsetType:
    if not target.service_tiers:
        return UNSET
    match params.service_tier:
        case "auto":
            return "auto"
        case "standard_only":
            return "default"
        case None | UnsetType():
            return UNSET
        case _:
            assert_never(params.service_tier)


def _response_format(params: m.MessageParams) -> c.ChatJsonSchemaFormat | UnsetType:
    output_format = unset_if_null(params.output_format)
    if params.output_config:
        REJECTED.check(params.output_config, "output_config")
        configured = unset_if_null(params.output_config.format)
        if configured and output_format:
            raise Untranslatable("output_format", "the output format is already set in output_config.format")
        output_format = configured or output_format
    if not output_format:
        return UNSET
    return c.ChatJsonSchemaFormat(
        json_schema=c.ChatJsonSchema(name=SCHEMA_NAME, schema=output_format.schema, strict=True)
    )


def _reasoning_effort(params: m.MessageParams, target: ServerCapabilities) -> c.ChatReasoningEffort | UnsetType:
    effort: m.Effort | UnsetType = unset_if_null(params.output_config.effort) if params.output_config else UNSET
    if isinstance(params.thinking, m.ThinkingDisabled):
        return _thinking_disabled(effort, target)
    if effort is not UNSET and effort not in target.efforts:
        raise Untranslatable("output_config.effort", f"{target.name} {_effort_hint(target)}")
    return effort


def _thinking_disabled(effort: m.Effort | UnsetType, target: ServerCapabilities) -> c.ChatReasoningEffort:
    if "none" not in target.efforts:
        raise Untranslatable("thinking", f"{target.name} cannot turn thinking off; leave it out")
    if effort is not UNSET:
        raise Untranslatable(
            "output_config.effort", f"{target.name} has one field for thinking and effort; leave one out"
        )
    return "none"


def _effort_hint(target: ServerCapabilities) -> str:
    known = sorted(target.efforts - {"none", "minimal"})
    return f"supports only {', '.join(known)}" if known else "does not support effort levels; leave it out"


def _thinking_budget(params: m.MessageParams, target: ServerCapabilities) -> int | UnsetType:
    match params.thinking:
        case m.ThinkingEnabled(budget_tokens=budget):
            REJECTED.check(params.thinking, "thinking")
            if not target.thinking_budget:
                raise Untranslatable(
                    "thinking.budget_tokens",
                    f"{target.name} does not support a thinking budget; use adaptive thinking and output_config.effort",
                )
            return budget
        case m.ThinkingAdaptive():
            REJECTED.check(params.thinking, "thinking")
        case m.ThinkingBetweenTools():
            raise REJECTED.error(params.thinking, "thinking")
        case m.ThinkingDisabled() | None | UnsetType():
            pass
        case _:
            assert_never(params.thinking)
    return UNSET
