"""Translates a request: Chat Completions to Responses, by the rules of `CHAT_TO_RESPONSES`."""

from __future__ import annotations

from typing import assert_never

from msgspec import UNSET, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_via_responses.items import translate_conversation
from batchgate.providers.dialects.chat_via_responses.request_rules import REJECTED
from batchgate.providers.dialects.chat_via_responses.tools import responses_tool_choice, responses_tools
from batchgate.providers.dialects.messages_via_chat.request import SCHEMA_NAME
from batchgate.providers.dialects.responses_via_chat.request import LOGPROBS
from batchgate.providers.dialects.rules import unset_if_null
from batchgate_api import chat_completions as c
from batchgate_api import responses as r


def chat_to_responses(request: c.ChatCompletionRequest, *, model: str) -> r.ResponsesRequest:
    """Translate a Chat Completions request to a Responses request for ``model``.

    Raises `Untranslatable` with the path of a field that Responses does not support.
    """
    REJECTED.check(request, "")
    if request.add_generation_prompt is False:
        raise Untranslatable("add_generation_prompt", "Responses always starts a new message; leave it out")
    translated = translate_conversation(request.messages)
    return r.ResponsesRequest(
        model=model,
        input=translated.input,
        instructions=translated.instructions,
        max_output_tokens=_max_output_tokens(request),
        temperature=unset_if_null(request.temperature),
        top_p=unset_if_null(request.top_p),
        include=[LOGPROBS] if request.logprobs else UNSET,
        top_logprobs=unset_if_null(request.top_logprobs),
        tools=responses_tools(request.tools),
        tool_choice=responses_tool_choice(request.tool_choice),
        parallel_tool_calls=unset_if_null(request.parallel_tool_calls),
        text=_text(request),
        reasoning=_reasoning(request),
        safety_identifier=unset_if_null(request.safety_identifier),
        user=unset_if_null(request.user),
        service_tier=unset_if_null(request.service_tier),
        moderation=request.moderation,
        metadata=unset_if_null(request.metadata),
        store=bool(request.store),
        prompt_cache_key=unset_if_null(request.prompt_cache_key),
        prompt_cache_options=_cache_options(request),
        prompt_cache_retention=unset_if_null(request.prompt_cache_retention),
    )


def _max_output_tokens(request: c.ChatCompletionRequest) -> int | UnsetType:
    newer, older = unset_if_null(request.max_completion_tokens), unset_if_null(request.max_tokens)
    if newer is not UNSET and older is not UNSET and newer != older:
        raise Untranslatable("max_tokens", "max_completion_tokens has a different value; leave one out")
    return older if newer is UNSET else newer


def _text(request: c.ChatCompletionRequest) -> r.ResponsesTextConfig | UnsetType:
    text_format = _text_format(request)
    verbosity: r.ResponsesVerbosity | UnsetType = unset_if_null(request.verbosity)
    if text_format is UNSET and verbosity is UNSET:
        return UNSET
    return r.ResponsesTextConfig(format=text_format, verbosity=verbosity)


def _text_format(request: c.ChatCompletionRequest) -> r.ResponsesTextFormat | UnsetType:
    match request.response_format:
        case None | UnsetType():
            return UNSET
        case c.ChatTextFormat():
            return r.ResponsesPlainFormat()
        case c.ChatJsonObjectFormat(schema=schema):
            if isinstance(schema, UnsetType):
                return r.ResponsesJsonObjectFormat()
            return r.ResponsesJsonSchemaFormat(name=SCHEMA_NAME, schema=schema)
        case c.ChatJsonSchemaFormat(json_schema=described):
            if isinstance(described.schema, UnsetType):
                raise Untranslatable("response_format.json_schema.schema", "Field required")
            return r.ResponsesJsonSchemaFormat(
                name=described.name,
                schema=described.schema,
                description=unset_if_null(described.description),
                strict=unset_if_null(described.strict),
            )
        case _:
            assert_never(request.response_format)


def _reasoning(request: c.ChatCompletionRequest) -> r.ResponsesReasoningConfig | UnsetType:
    effort: r.ResponsesReasoningEffort | UnsetType = unset_if_null(request.reasoning_effort)
    return UNSET if effort is UNSET else r.ResponsesReasoningConfig(effort=effort)


def _cache_options(request: c.ChatCompletionRequest) -> r.ResponsesPromptCacheOptions | UnsetType:
    if not request.prompt_cache_options:
        return UNSET
    options = request.prompt_cache_options
    return r.ResponsesPromptCacheOptions(mode=unset_if_null(options.mode), ttl=unset_if_null(options.ttl))
