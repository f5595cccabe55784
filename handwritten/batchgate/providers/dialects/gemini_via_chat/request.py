"""Translates a request: Gemini's generateContent to Chat Completions, by `GEMINI_TO_CHAT` and the capabilities."""

from __future__ import annotations

from typing import Final, get_args

from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.gemini_via_chat.messages import chat_messages
from batchgate.providers.dialects.gemini_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.gemini_via_chat.schemas import json_schema
from batchgate.providers.dialects.gemini_via_chat.tools import chat_tool_choice, chat_tools
from batchgate.providers.dialects.rules import is_empty, unset_if_null
from batchgate.providers.dialects.server_capabilities import Effort, ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g

SCHEMA_NAME: Final = "answer"
"""The name of the schema, which Chat Completions requires."""

_LESS_FILTERING: Final = frozenset({"BLOCK_NONE", "OFF", "HARM_BLOCK_THRESHOLD_UNSPECIFIED"})
_EFFORTS: Final[dict[str, Effort]] = {effort.upper(): effort for effort in get_args(Effort)}
_NO_CONFIG: Final = g.GeminiGenerationConfig()


def gemini_to_chat(request: g.GeminiRequest, *, model: str, target: ServerCapabilities) -> c.ChatCompletionRequest:
    """Translate a request of generateContent to a Chat Completions request for ``model`` at the server ``target``.

    Raises `Untranslatable` with the path of a field that the server does not support.
    """
    REJECTED.check(request, "")
    _check_safety(request)
    config = request.generationConfig or _NO_CONFIG
    REJECTED.check(config, "generationConfig")
    return c.ChatCompletionRequest(
        model=model,
        messages=chat_messages(request, target),
        max_completion_tokens=_max_tokens(config, target, "max_completion_tokens"),
        max_tokens=_max_tokens(config, target, "max_tokens"),
        temperature=unset_if_null(config.temperature),
        top_p=unset_if_null(config.topP),
        top_k=_top_k(config, target),
        seed=unset_if_null(config.seed),
        stop=_stop(config, target),
        frequency_penalty=unset_if_null(config.frequencyPenalty),
        presence_penalty=unset_if_null(config.presencePenalty),
        tools=chat_tools(request.tools),
        tool_choice=chat_tool_choice(request, target),
        response_format=_response_format(config),
        reasoning_effort=_effort(config, target),
        thinking_token_budget=_budget(config, target),
        service_tier=_service_tier(request, target),
    )


def _check_safety(request: g.GeminiRequest) -> None:
    """Reject filters that are stricter than none, as no other server has them."""
    for index, setting in enumerate(request.safetySettings or ()):
        if setting.threshold and setting.threshold not in _LESS_FILTERING:
            reason = "only Gemini filters by categories; leave it out, or send the request to the provider gemini"
            raise Untranslatable(f"safetySettings.{index}.threshold", reason)


def _max_tokens(config: g.GeminiGenerationConfig, target: ServerCapabilities, field: str) -> int | UnsetType:
    return unset_if_null(config.maxOutputTokens) if target.max_tokens_field == field else UNSET


def _top_k(config: g.GeminiGenerationConfig, target: ServerCapabilities) -> int | UnsetType:
    top_k = unset_if_null(config.topK)
    if isinstance(top_k, UnsetType):
        return UNSET
    if not target.top_k:
        raise Untranslatable("generationConfig.topK", f"{target.name} does not support top_k; use temperature or topP")
    return int(top_k)


def _stop(config: g.GeminiGenerationConfig, target: ServerCapabilities) -> list[str] | UnsetType:
    stop = config.stopSequences
    if not stop:
        return UNSET
    if target.stop_limit is not None and len(stop) > target.stop_limit:
        reason = f"{target.name} takes at most {target.stop_limit}, not {len(stop)}"
        raise Untranslatable("generationConfig.stopSequences", reason)
    return stop


def _response_format(config: g.GeminiGenerationConfig) -> c.ChatResponseFormat | UnsetType:
    schema = _schema(config)
    mime = config.responseMimeType or "text/plain"
    if mime not in {"application/json", "text/plain"} or (schema is not None and mime == "text/plain"):
        reason = "should be application/json with a schema, or else text/plain or application/json"
        raise Untranslatable("generationConfig.responseMimeType", reason)
    if schema is None:
        return UNSET if mime == "text/plain" else c.ChatJsonObjectFormat()
    return c.ChatJsonSchemaFormat(json_schema=c.ChatJsonSchema(name=SCHEMA_NAME, schema=schema))


def _schema(config: g.GeminiGenerationConfig) -> Raw | None:
    older, newer = config.responseSchema, config.responseJsonSchema
    if isinstance(older, Raw) and not is_empty(older):
        if not is_empty(newer):
            raise Untranslatable("generationConfig.responseSchema", "responseJsonSchema is set too; leave one out")
        return json_schema(older)
    return newer if isinstance(newer, Raw) and not is_empty(newer) else None


def _effort(config: g.GeminiGenerationConfig, target: ServerCapabilities) -> c.ChatReasoningEffort | UnsetType:
    thinking = config.thinkingConfig
    if not thinking:
        return UNSET
    path = "generationConfig.thinkingConfig"
    level, budget = thinking.thinkingLevel or None, unset_if_null(thinking.thinkingBudget)
    if level and budget is not UNSET:
        raise Untranslatable(f"{path}.thinkingBudget", "thinkingLevel is set too; leave one out")
    if level in {None, "THINKING_LEVEL_UNSPECIFIED"} and budget != 0:
        return UNSET
    field, effort = ("thinkingLevel", _EFFORTS.get(level.upper())) if level else ("thinkingBudget", "none")
    if effort is None or effort not in target.efforts:
        known = f"supports only {', '.join(sorted(target.efforts))}" if target.efforts else "has no effort levels"
        raise Untranslatable(f"{path}.{field}", f"{target.name} {known}")
    return effort


def _budget(config: g.GeminiGenerationConfig, target: ServerCapabilities) -> int | UnsetType:
    budget = config.thinkingConfig.thinkingBudget if config.thinkingConfig else None
    if not budget or budget < 0:
        return UNSET
    if not target.thinking_budget:
        reason = f"{target.name} does not support a thinking budget; use thinkingLevel"
        raise Untranslatable("generationConfig.thinkingConfig.thinkingBudget", reason)
    return budget


def _service_tier(request: g.GeminiRequest, target: ServerCapabilities) -> c.ChatServiceTier | UnsetType:
    match request.serviceTier:
        case None | UnsetType() | "standard" | "unspecified":
            return UNSET
        case "flex" | "priority" as tier if target.service_tiers:
            return tier
        case tier:
            raise Untranslatable("serviceTier", f"{target.name} has no service tier {tier}; leave it out")
