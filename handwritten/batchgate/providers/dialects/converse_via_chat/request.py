"""Translates requests: Converse to Chat Completions, by the rules of `CONVERSE_TO_CHAT` and the server capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.converse_via_chat.messages import chat_messages
from batchgate.providers.dialects.converse_via_chat.parts import chat_tools, check_one_field
from batchgate.providers.dialects.converse_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.messages_via_chat.request_rules import REJECTED as REJECTED_IN_MESSAGES
from batchgate.providers.dialects.rules import NO_ZERO_MAX_TOKENS, is_empty, unset_if_null
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import converse as v
from batchgate_api import messages as m

SCHEMA_NAME: Final = "answer"
"""The name of a schema without one, which Chat Completions requires."""

_MODEL_FIELDS: Final = "additionalModelRequestFields"
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_JSON: Final = msgspec.json.Decoder(Raw)
_EFFORTS: Final[Mapping[str, c.ChatReasoningEffort]] = {
    effort: effort for effort in get_args(get_args(c.ChatReasoningEffort)[0])
}
_TIERS: Final[Mapping[str, c.ChatServiceTier]] = {"default": "default", "flex": "flex", "priority": "priority"}
_NO_INFERENCE: Final = v.ConverseInference()


class _ModelFields(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields for the model itself that other servers have too: those of Claude."""

    top_k: int | UnsetType | None = UNSET
    thinking: m.ThinkingConfig | UnsetType | None = UNSET


_MODEL_FIELDS_DECODER: Final = msgspec.json.Decoder(_ModelFields)


def converse_to_chat(request: v.ConverseRequest, *, model: str, target: ServerCapabilities) -> c.ChatCompletionRequest:
    """Translate a Converse request to a Chat Completions request for ``model`` at the server ``target``.

    Raises `Untranslatable` with the path of a field that the server does not support.
    """
    REJECTED.check(request, "")
    if request.messages and request.messages[-1].role == "assistant":
        raise Untranslatable(f"messages.{len(request.messages) - 1}", "the last message should be the user's")
    inference = request.inferenceConfig or _NO_INFERENCE
    fields = _model_fields(request)
    return c.ChatCompletionRequest(
        model=model,
        messages=chat_messages(request, target),
        max_completion_tokens=_max_tokens(inference, target, "max_completion_tokens"),
        max_tokens=_max_tokens(inference, target, "max_tokens"),
        temperature=unset_if_null(inference.temperature),
        top_p=unset_if_null(inference.topP),
        top_k=_top_k(fields, target),
        stop=_stop(inference, target),
        tools=chat_tools(request.toolConfig, target) if request.toolConfig else UNSET,
        tool_choice=_tool_choice(request, target),
        response_format=_response_format(request),
        reasoning_effort=_effort(request, fields, target),
        thinking_token_budget=_thinking_budget(fields, target),
        service_tier=_service_tier(request, target),
    )


def _max_tokens(inference: v.ConverseInference, target: ServerCapabilities, field: str) -> int | UnsetType:
    if inference.maxTokens == 0:
        raise Untranslatable("inferenceConfig.maxTokens", NO_ZERO_MAX_TOKENS)
    return unset_if_null(inference.maxTokens) if target.max_tokens_field == field else UNSET


def _stop(inference: v.ConverseInference, target: ServerCapabilities) -> list[str] | UnsetType:
    stop = inference.stopSequences
    if not stop:
        return UNSET
    if target.stop_limit is not None and len(stop) > target.stop_limit:
        reason = f"{target.name} takes at most {target.stop_limit}, not {len(stop)}"
        raise Untranslatable("inferenceConfig.stopSequences", reason)
    return stop


def _tool_choice(
    request: v.ConverseRequest, target: ServerCapabilities
) -> c.ChatToolChoiceMode | c.ChatFunctionToolChoice | UnsetType:
    choice = request.toolConfig.toolChoice if request.toolConfig else UNSET
    if not choice:
        return UNSET
    check_one_field(choice, "toolConfig.toolChoice")
    if not isinstance(choice.auto, UnsetType):
        return "auto" if target.tool_choice else UNSET
    if not target.tool_choice:
        reason = f"{target.name} does not support tool_choice; use auto or leave it out"
        raise Untranslatable("toolConfig.toolChoice", reason)
    if choice.tool:
        return c.ChatFunctionToolChoice(function=c.ChatFunctionName(name=choice.tool.name))
    return UNSET if isinstance(choice.any, UnsetType) else "required"


def _response_format(request: v.ConverseRequest) -> c.ChatJsonSchemaFormat | UnsetType:
    text_format = request.outputConfig.textFormat if request.outputConfig else UNSET
    if not text_format:
        return UNSET
    if text_format.type != "json_schema":
        raise Untranslatable("outputConfig.textFormat.type", "should be json_schema")
    found = text_format.structure.jsonSchema
    try:
        schema = _JSON.decode(found.schema)
    except DECODING_ERRORS as error:
        path = "outputConfig.textFormat.structure.jsonSchema.schema"
        message = str(describe_decoding_error(error).with_prefix(path))
        raise RequestError("invalid_request_error", message) from error
    return c.ChatJsonSchemaFormat(
        json_schema=c.ChatJsonSchema(
            name=found.name or SCHEMA_NAME, description=found.description or UNSET, schema=schema, strict=True
        )
    )


def _service_tier(request: v.ConverseRequest, target: ServerCapabilities) -> c.ChatServiceTier | UnsetType:
    if not request.serviceTier:
        return UNSET
    tier = request.serviceTier.type
    if tier not in _TIERS or (tier != "default" and not target.service_tiers):
        raise Untranslatable("serviceTier.type", f"{target.name} has no tier {tier}; use default")
    return _TIERS[tier] if target.service_tiers else UNSET


# ---------------------------------------------------------------- the model's own fields


def _model_fields(request: v.ConverseRequest) -> _ModelFields:
    """Read the fields for the model; raises `Untranslatable` with the path of one that has no translation."""
    raw = request.additionalModelRequestFields
    if isinstance(raw, UnsetType) or is_empty(raw):
        return _ModelFields()
    try:
        unknown = next((name for name in _FIELDS.decode(raw) if name not in _ModelFields.__struct_fields__), None)
        if unknown is None:
            return _MODEL_FIELDS_DECODER.decode(raw)
    except DECODING_ERRORS as error:
        message = str(describe_decoding_error(error).with_prefix(_MODEL_FIELDS))
        raise RequestError("invalid_request_error", message) from error
    raise Untranslatable(f"{_MODEL_FIELDS}.{unknown}", "only its model at Bedrock supports it; leave it out")


def _top_k(fields: _ModelFields, target: ServerCapabilities) -> int | UnsetType:
    top_k = unset_if_null(fields.top_k)
    if top_k is not UNSET and not target.top_k:
        reason = f"{target.name} does not support top_k; use temperature or top_p"
        raise Untranslatable(f"{_MODEL_FIELDS}.top_k", reason)
    return top_k


def _effort(
    request: v.ConverseRequest, fields: _ModelFields, target: ServerCapabilities
) -> c.ChatReasoningEffort | UnsetType:
    effort = (request.outputConfig.effort if request.outputConfig else None) or UNSET
    if isinstance(fields.thinking, m.ThinkingDisabled):
        if effort is not UNSET:
            raise Untranslatable("outputConfig.effort", "it contradicts thinking disabled; leave one out")
        effort = "none"
    if effort is UNSET:
        return UNSET
    if effort not in target.efforts or effort not in _EFFORTS:
        known = ", ".join(sorted(target.efforts)) or "none"
        raise Untranslatable("outputConfig.effort", f"{target.name} has no effort {effort!r}; it supports {known}")
    return _EFFORTS[effort]


def _thinking_budget(fields: _ModelFields, target: ServerCapabilities) -> int | UnsetType:
    if fields.thinking:
        REJECTED_IN_MESSAGES.check(fields.thinking, f"{_MODEL_FIELDS}.thinking")
    match fields.thinking:
        case m.ThinkingEnabled(budget_tokens=budget):
            if not target.thinking_budget:
                reason = f"{target.name} does not support a thinking budget; use outputConfig.effort"
                raise Untranslatable(f"{_MODEL_FIELDS}.thinking.budget_tokens", reason)
            return budget
        case m.ThinkingBetweenTools():
            raise Untranslatable(f"{_MODEL_FIELDS}.thinking", "Chat Completions has no such setting; use adaptive")
        case _:
            return UNSET
