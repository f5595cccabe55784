"""Translates a request: Chat Completions to Gemini's generateContent, by the rules of `CHAT_TO_GEMINI`."""

from __future__ import annotations

from typing import Final, assert_never

from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_fields import max_tokens
from batchgate.providers.dialects.chat_via_gemini.contents import translate_conversation
from batchgate.providers.dialects.chat_via_gemini.request_rules import REJECTED
from batchgate.providers.dialects.chat_via_gemini.tools import gemini_tool_config, gemini_tools
from batchgate.providers.dialects.gemini_models import combines_json_with_tools, has_thinking_levels
from batchgate.providers.dialects.rules import unset_if_null
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g

JSON: Final = "application/json"
"""The responseMimeType of answers that are JSON."""

BUDGETS: Final[dict[c.ChatReasoningEffort, int]] = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""The tokens for thoughts at each effort, as Google's OpenAI-compatible API has them for Gemini 2.5."""

LEVELS: Final[dict[c.ChatReasoningEffort, str]] = {
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "XHIGH",
}
"""The thinking level of each effort, from Gemini 3 on."""


def chat_to_gemini(request: c.ChatCompletionRequest, *, model: str) -> g.GeminiRequest:
    """Translate a Chat Completions request to a request of generateContent for ``model``, which it does not name.

    Raises `Untranslatable` with the path of a field that Gemini does not support.
    """
    REJECTED.check(request, "")
    if request.add_generation_prompt is False:
        raise Untranslatable("add_generation_prompt", "Gemini always starts a new message; leave it out")
    translated = translate_conversation(request.messages, model)
    return g.GeminiRequest(
        contents=translated.contents,
        systemInstruction=translated.instructions,
        tools=gemini_tools(request),
        toolConfig=gemini_tool_config(request),
        generationConfig=_generation_config(request, model),
        serviceTier=_service_tier(request.service_tier),
    )


def _generation_config(request: c.ChatCompletionRequest, model: str) -> g.GeminiGenerationConfig | UnsetType:
    output_format = _output_format(request, model)
    config = g.GeminiGenerationConfig(
        temperature=unset_if_null(request.temperature),
        topP=unset_if_null(request.top_p),
        topK=unset_if_null(request.top_k),
        candidateCount=UNSET if request.n == 1 else unset_if_null(request.n),
        maxOutputTokens=max_tokens(request),
        stopSequences=_stop(request.stop),
        responseLogprobs=True if request.logprobs else UNSET,
        logprobs=unset_if_null(request.top_logprobs) if request.logprobs else UNSET,
        presencePenalty=unset_if_null(request.presence_penalty),
        frequencyPenalty=unset_if_null(request.frequency_penalty),
        seed=unset_if_null(request.seed),
        responseMimeType=UNSET if output_format is UNSET else JSON,
        responseJsonSchema=output_format or UNSET,
        thinkingConfig=_thinking(request, model),
    )
    return UNSET if config == g.GeminiGenerationConfig() else config


def _stop(stop: str | list[str] | UnsetType | None) -> list[str] | UnsetType:
    if not stop:
        return UNSET
    return [stop] if isinstance(stop, str) else stop


def _output_format(request: c.ChatCompletionRequest, model: str) -> Raw | UnsetType | None:
    """Return the schema of the answer, None for any JSON object, or UNSET for text."""
    described = request.response_format
    if not described or isinstance(described, c.ChatTextFormat):
        return UNSET
    if request.tools and not combines_json_with_tools(model):
        raise Untranslatable("response_format", f"{model} does not combine it with tools; leave one of them out")
    match described:
        case c.ChatJsonObjectFormat(schema=schema):
            return None if isinstance(schema, UnsetType) else schema
        case c.ChatJsonSchemaFormat(json_schema=described_schema):
            REJECTED.check(described_schema, "response_format.json_schema")
            if isinstance(described_schema.schema, UnsetType):
                raise Untranslatable("response_format.json_schema.schema", "Field required")
            return described_schema.schema
        case _:
            assert_never(described)


def _thinking(request: c.ChatCompletionRequest, model: str) -> g.GeminiThinkingConfig | UnsetType:
    effort, budget = unset_if_null(request.reasoning_effort), unset_if_null(request.thinking_token_budget)
    if effort is UNSET:
        return UNSET if budget is UNSET else g.GeminiThinkingConfig(thinkingBudget=budget)
    if budget is not UNSET:
        raise Untranslatable("thinking_token_budget", "reasoning_effort is set too; leave one out")
    if effort == "none":
        return g.GeminiThinkingConfig(thinkingBudget=0)
    if has_thinking_levels(model) and effort in LEVELS:
        return g.GeminiThinkingConfig(thinkingLevel=LEVELS[effort])
    if not has_thinking_levels(model) and effort in BUDGETS:
        return g.GeminiThinkingConfig(thinkingBudget=BUDGETS[effort])
    known = ", ".join(LEVELS if has_thinking_levels(model) else BUDGETS)
    raise Untranslatable("reasoning_effort", f"{model} supports only none, {known}")


def _service_tier(tier: c.ChatServiceTier | UnsetType | None) -> str | UnsetType:
    match tier:
        case None | UnsetType() | "auto" | "default":
            return UNSET
        case "flex" | "priority":
            return tier
        case _:
            raise Untranslatable("service_tier", f"Gemini has no tier {tier}; use flex or priority, or leave it out")
