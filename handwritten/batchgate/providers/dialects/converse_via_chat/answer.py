"""Translates an answer: Chat Completions to Converse, by the rules of `COMPLETION_TO_CONVERSE`.

The caller has paid for the answer, so unusual content is kept as far as possible. Only content that Converse cannot
represent raises `NoUpstreamAnswer`: no choice, a call without a function, an unknown part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from msgspec import UNSET

from batchgate.providers.dialects.answer_images import markdown_image
from batchgate.providers.dialects.completion import (
    AnswerCall,
    AnswerPart,
    completion_tokens,
    first_choice,
    message_calls,
    message_parts,
    token_count,
)
from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
from batchgate.providers.dialects.tool_arguments import arguments_object
from batchgate_api import chat_completions as c
from batchgate_api import converse as v

_STOP_REASONS: Final[dict[FinishClass, str]] = {
    "stopped": "end_turn",
    "cut_off": "max_tokens",
    "tool_calls": "tool_use",
    "filtered": "content_filtered",
}

_NO_USAGE: Final = c.ChatUsage()
_NO_DETAILS: Final = c.ChatPromptTokensDetails()


def completion_to_converse(completion: c.ChatCompletion, *, call_id_seed: bytes = b"") -> v.ConverseResponse:
    """Translate the first choice of a completion to a Converse answer.

    Calls without an id get one that is made of ``call_id_seed``. Raises `NoUpstreamAnswer` for an invalid answer.
    """
    choice = first_choice(completion)
    content = [*_content(choice.message, call_id_seed)]
    return v.ConverseResponse(
        output=v.ConverseOutput(message=v.ConverseAnswer(role="assistant", content=content)),
        stopReason=_stop_reason(choice, content),
        usage=_usage(completion.usage or _NO_USAGE),
        serviceTier=v.ConverseUsedTier(type=completion.service_tier) if completion.service_tier else UNSET,
    )


def _content(message: c.ChatMessage, call_id_seed: bytes) -> Iterator[v.ConverseAnswerBlock]:
    yield from map(_part_block, message_parts(message, "Converse"))
    yield from map(_tool_use, message_calls(message, call_id_seed))


def _part_block(part: AnswerPart) -> v.ConverseAnswerBlock:
    match part.kind:
        case "text":
            return v.ConverseAnswerBlock(text=part.text)
        case "thinking":
            return _reasoning(part.text)
        case "image":
            return v.ConverseAnswerBlock(text=markdown_image(part.text))
        case _:
            assert_never(part.kind)


def _reasoning(text: str) -> v.ConverseAnswerBlock:
    reasoning = v.ConverseAnswerReasoning(reasoningText=v.ConverseAnswerReasoningText(text=text))
    return v.ConverseAnswerBlock(reasoningContent=reasoning)


def _tool_use(call: AnswerCall) -> v.ConverseAnswerBlock:
    arguments = arguments_object(call.function.arguments)
    called = v.ConverseCalledTool(toolUseId=call.id, name=call.function.name, input=arguments)
    return v.ConverseAnswerBlock(toolUse=called)


def _stop_reason(choice: c.ChatChoice, content: list[v.ConverseAnswerBlock]) -> str:
    """Return the stop reason; an unknown finish reason stays as it is."""
    if choice.message.refusal:
        return "content_filtered"
    reason = _STOP_REASONS.get(classify_finish(choice.finish_reason or None)) or choice.finish_reason or "end_turn"
    if reason == "end_turn" and any(block.toolUse for block in content):
        # OpenAI sends "stop" when tool_choice named the function; some servers always send it.
        return "tool_use"
    if reason == "end_turn" and isinstance(choice.stop_reason, str):
        return "stop_sequence"
    return reason


def _usage(usage: c.ChatUsage) -> v.ConverseUsage:
    """Translate the usage; Converse does not count tokens read from or written to the cache as inputTokens."""
    prompt = usage.prompt_tokens_details or _NO_DETAILS
    read, written = token_count(prompt.cached_tokens) or 0, token_count(prompt.cache_write_tokens) or 0
    prompt_tokens, output = usage.prompt_tokens or 0, completion_tokens(usage)
    return v.ConverseUsage(
        inputTokens=max(0, prompt_tokens - read - written),
        outputTokens=output,
        totalTokens=usage.total_tokens or prompt_tokens + output,
        cacheReadInputTokens=read,
        cacheWriteInputTokens=written,
    )
