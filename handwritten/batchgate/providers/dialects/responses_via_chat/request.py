"""Translates requests: Responses to Chat Completions, by `RESPONSES_TO_CHAT` and the server capabilities."""

from __future__ import annotations

from typing import Final, TypeVar, assert_never

from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.responses_via_chat.items import chat_messages
from batchgate.providers.dialects.responses_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.responses_via_chat.tools import chat_tool_choice, chat_tools
from batchgate.providers.dialects.rules import unset_if_null
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import responses as r

T = TypeVar("T")

LOGPROBS: Final = "message.output_text.logprobs"
"""The value of `include` that requests log probabilities."""

_INCLUDED: Final = frozenset({LOGPROBS, "reasoning.encrypted_content"})


def responses_to_chat(
    request: r.ResponsesRequest, *, model: str, target: ServerCapabilities
) -> c.ChatCompletionRequest:
    """Translate a Responses request to a Chat Completions request for ``model`` at the server ``target``.

    Raises `Untranslatable` with the path of a field that the server does not support.
    """
    REJECTED.check(request, "")
    logprobs = _logprobs(request, target)
    return c.ChatCompletionRequest(
        model=model,
        messages=chat_messages(request.instructions, request.input, target),
        max_completion_tokens=_max_tokens(request, target, "max_completion_tokens"),
        max_tokens=_max_tokens(request, target, "max_tokens"),
        temperature=unset_if_null(request.temperature),
        top_p=unset_if_null(request.top_p),
        logprobs=logprobs,
        top_logprobs=UNSET if logprobs is UNSET else unset_if_null(request.top_logprobs),
        tools=chat_tools(request.tools, target),
        tool_choice=chat_tool_choice(request.tool_choice, target),
        parallel_tool_calls=_parallel_tool_calls(request, target),
        response_format=_response_format(request),
        verbosity=_verbosity(request, target),
        reasoning_effort=_reasoning_effort(request, target),
        safety_identifier=_user(request, target, "safety_identifier"),
        user=_user(request, target, "user"),
        service_tier=_service_tier(request, target),
        moderation=_moderation(request, target),
        metadata=_if_openai(unset_if_null(request.metadata), target),
        store=_if_openai(UNSET if request.store is False else True, target),
        prompt_cache_key=_if_openai(unset_if_null(request.prompt_cache_key), target),
        prompt_cache_options=_if_openai(_cache_options(request), target),
        prompt_cache_retention=_if_openai(unset_if_null(request.prompt_cache_retention), target),
    )


def _if_openai(value: T | UnsetType, target: ServerCapabilities) -> T | UnsetType:
    """Return the value only for OpenAI: the field controls its store or cache, and does not affect answers."""
    return value if target.openai_fields else UNSET


def _max_tokens(request: r.ResponsesRequest, target: ServerCapabilities, field: str) -> int | UnsetType:
    return unset_if_null(request.max_output_tokens) if target.max_tokens_field == field else UNSET


def _logprobs(request: r.ResponsesRequest, target: ServerCapabilities) -> bool | UnsetType:
    included = request.include or ()
    for index, name in enumerate(included):
        if name not in _INCLUDED:
            raise Untranslatable(f"include.{index}", f"{name} is the output of a built-in tool of OpenAI; leave it out")
    if LOGPROBS not in included and not request.top_logprobs:
        return UNSET
    if not target.logprobs:
        field = "top_logprobs" if request.top_logprobs else "include"
        raise Untranslatable(field, f"{target.name} is not known to return log probabilities; leave it out")
    return True


def _parallel_tool_calls(request: r.ResponsesRequest, target: ServerCapabilities) -> bool | UnsetType:
    requested = unset_if_null(request.parallel_tool_calls)
    if target.parallel_tool_calls or requested is not False:
        return requested if target.parallel_tool_calls else UNSET
    raise Untranslatable("parallel_tool_calls", f"{target.name} cannot limit an answer to one tool call; leave it out")


def _response_format(request: r.ResponsesRequest) -> c.ChatResponseFormat | UnsetType:
    match request.text.format if request.text else None:
        case None | UnsetType():
            return UNSET
        case r.ResponsesPlainFormat():
            return c.ChatTextFormat()
        case r.ResponsesJsonObjectFormat():
            return c.ChatJsonObjectFormat()
        case r.ResponsesJsonSchemaFormat() as described:
            return c.ChatJsonSchemaFormat(
                json_schema=c.ChatJsonSchema(
                    name=described.name,
                    description=unset_if_null(described.description),
                    schema=described.schema,
                    strict=unset_if_null(described.strict),
                )
            )
        case other:
            assert_never(other)


def _verbosity(request: r.ResponsesRequest, target: ServerCapabilities) -> c.ChatVerbosity | UnsetType:
    verbosity: r.ResponsesVerbosity | UnsetType = unset_if_null(request.text.verbosity) if request.text else UNSET
    if target.openai_fields:
        return verbosity
    if verbosity in (UNSET, "medium"):
        return UNSET
    raise Untranslatable(
        "text.verbosity", f"{target.name} does not support verbosity; state the wanted length in the instructions"
    )


def _reasoning_effort(request: r.ResponsesRequest, target: ServerCapabilities) -> c.ChatReasoningEffort | UnsetType:
    if not request.reasoning:
        return UNSET
    REJECTED.check(request.reasoning, "reasoning")
    effort = unset_if_null(request.reasoning.effort)
    if effort is not UNSET and effort not in target.efforts:
        known = (
            f"supports only {', '.join(sorted(target.efforts))}" if target.efforts else "does not support effort levels"
        )
        raise Untranslatable("reasoning.effort", f"{target.name} {known}")
    return effort


def _user(request: r.ResponsesRequest, target: ServerCapabilities, field: str) -> str | UnsetType:
    newer, older = unset_if_null(request.safety_identifier), unset_if_null(request.user)
    if target.openai_fields:
        return newer if field == "safety_identifier" else older
    if newer is not UNSET and older is not UNSET and newer != older:
        raise Untranslatable("user", "safety_identifier has a different value; leave one out")
    user = older if newer is UNSET else newer
    if user is not UNSET and target.user_field is None:
        named = "user" if newer is UNSET else "safety_identifier"
        raise Untranslatable(named, f"{target.name} has no field for the user; leave it out")
    return user if target.user_field == field else UNSET


def _service_tier(request: r.ResponsesRequest, target: ServerCapabilities) -> c.ChatServiceTier | UnsetType:
    match request.service_tier:
        case None | UnsetType():
            return UNSET
        case "ultrafast":
            raise Untranslatable("service_tier", "only the Responses API of OpenAI has ultrafast; use auto or default")
        case tier if target.service_tiers:
            return tier
        case "auto" | "default":
            return UNSET
        case _:
            raise Untranslatable("service_tier", f"{target.name} has only one service tier; leave it out")


def _moderation(request: r.ResponsesRequest, target: ServerCapabilities) -> Raw | UnsetType:
    if request.moderation and bytes(request.moderation) != b"null" and not target.openai_fields:
        raise Untranslatable("moderation", "only OpenAI supports it; leave it out")
    return request.moderation


def _cache_options(request: r.ResponsesRequest) -> c.ChatPromptCacheOptions | UnsetType:
    if not request.prompt_cache_options:
        return UNSET
    REJECTED.check(request.prompt_cache_options, "prompt_cache_options")
    options = request.prompt_cache_options
    return c.ChatPromptCacheOptions(mode=unset_if_null(options.mode), ttl=unset_if_null(options.ttl))
