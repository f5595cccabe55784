"""Translates a request: Chat Completions to Converse, by the rules of `CHAT_TO_CONVERSE`."""

from __future__ import annotations

from typing import assert_never

import msgspec
from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_fields import positive_max_tokens, stop_sequences, temperature_up_to_one
from batchgate.providers.dialects.chat_via_converse.messages import translate_conversation
from batchgate.providers.dialects.chat_via_converse.request_rules import CLAUDE_ONLY, REJECTED
from batchgate.providers.dialects.chat_via_converse.tools import tool_config
from batchgate.providers.dialects.claude_models import is_claude
from batchgate.providers.dialects.rules import unset_if_null
from batchgate.providers.dialects.tool_call_ids import BEDROCK_TOOL_IDS, fit_tool_call_ids
from batchgate_api import chat_completions as c
from batchgate_api import converse as v
from batchgate_api import messages as m


def chat_to_converse(request: c.ChatCompletionRequest, *, model: str) -> v.ConverseRequest:
    """Translate a Chat Completions request to a Converse request for ``model``, which is not part of it.

    Raises `Untranslatable` with the path of a field that Converse does not support.
    """
    REJECTED.check(request, "")
    if request.add_generation_prompt is False:
        raise Untranslatable("add_generation_prompt", "Converse always starts a new message; leave it out")
    translated = translate_conversation(fit_tool_call_ids(request.messages, BEDROCK_TOOL_IDS))
    return v.ConverseRequest(
        messages=translated.turns,
        system=translated.system,
        inferenceConfig=_inference(request),
        toolConfig=tool_config(request, has_tool_blocks=translated.has_tool_blocks),
        outputConfig=_output_config(request),
        additionalModelRequestFields=_model_fields(request, model),
        serviceTier=_service_tier(request),
    )


# ---------------------------------------------------------------- sampling


def _inference(request: c.ChatCompletionRequest) -> v.ConverseInference | UnsetType:
    """Return the sampling parameters that the request has: Claude rejects some of them together, so none is added."""
    inference = v.ConverseInference(
        maxTokens=positive_max_tokens(request),
        temperature=temperature_up_to_one(request, "Converse"),
        topP=unset_if_null(request.top_p),
        stopSequences=stop_sequences(request),
    )
    return UNSET if inference == v.ConverseInference() else inference


def _service_tier(request: c.ChatCompletionRequest) -> v.ConverseServiceTier | UnsetType:
    match request.service_tier:
        case None | UnsetType() | "auto":
            return UNSET
        case "default" | "flex" | "priority" as tier:
            return v.ConverseServiceTier(type=tier)
        case tier:
            raise Untranslatable(
                "service_tier", f"{tier} is a tier that only OpenAI has; use default, flex or priority"
            )


# ---------------------------------------------------------------- output and thinking


def _output_config(request: c.ChatCompletionRequest) -> v.ConverseOutputConfig | UnsetType:
    config = v.ConverseOutputConfig(textFormat=_text_format(request), effort=_effort(request))
    return UNSET if config == v.ConverseOutputConfig() else config


def _text_format(request: c.ChatCompletionRequest) -> v.ConverseTextFormat | UnsetType:
    match request.response_format:
        case None | UnsetType() | c.ChatTextFormat():
            return UNSET
        case c.ChatJsonSchemaFormat(json_schema=described):
            if isinstance(described.schema, UnsetType):
                raise Untranslatable("response_format.json_schema.schema", "Field required")
            schema = v.ConverseJsonSchema(
                name=described.name,
                description=unset_if_null(described.description),
                schema=bytes(described.schema).decode(),
            )
            return v.ConverseTextFormat(type="json_schema", structure=v.ConverseTextStructure(jsonSchema=schema))
        case c.ChatJsonObjectFormat():
            raise REJECTED.error(request.response_format, "response_format")
        case _:
            assert_never(request.response_format)


def _effort(request: c.ChatCompletionRequest) -> str | UnsetType:
    match request.reasoning_effort:
        case None | UnsetType() | "none":
            return UNSET
        case "minimal":
            raise Untranslatable("reasoning_effort", "the lowest effort of Converse is low")
        case effort:
            return effort


def _model_fields(request: c.ChatCompletionRequest, model: str) -> Raw | UnsetType:
    """Return the parameters that Converse passes to the model under the model's own names."""
    fields: dict[str, object] = {}
    if (top_k := unset_if_null(request.top_k)) is not UNSET:
        fields["top_k"] = top_k
        _require_claude("top_k", model)
    if (thinking := _thinking(request, model)) is not None:
        fields["thinking"] = thinking
    return Raw(msgspec.json.encode(fields)) if fields else UNSET


def _thinking(request: c.ChatCompletionRequest, model: str) -> m.ThinkingConfig | None:
    budget, effort = unset_if_null(request.thinking_token_budget), unset_if_null(request.reasoning_effort)
    if budget is not UNSET:
        _require_claude("thinking_token_budget", model)
        if effort == "none":
            raise Untranslatable("thinking_token_budget", "it contradicts reasoning_effort none; leave one out")
        return m.ThinkingEnabled(budget_tokens=budget)
    if effort == "none":
        _require_claude("reasoning_effort", model)
        return m.ThinkingDisabled()
    return None if effort is UNSET or not is_claude(model) else m.ThinkingAdaptive()


def _require_claude(field: str, model: str) -> None:
    if not is_claude(model):
        raise Untranslatable(field, CLAUDE_ONLY)
