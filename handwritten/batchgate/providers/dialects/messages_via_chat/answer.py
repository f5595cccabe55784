"""Translates an answer: Chat Completions to Message, by the rules of `CHAT_TO_MESSAGE`.

The caller has paid for the answer, so unusual content is kept as far as possible. Only content that a Message cannot
represent raises `NoUpstreamAnswer`: no choice, a call without a function, an unknown part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from msgspec import Raw

from batchgate.providers.dialects.answer_images import markdown_image
from batchgate.providers.dialects.completion import (
    AnswerPart,
    completion_tokens,
    first_choice,
    message_calls,
    message_parts,
    token_count,
)
from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
from batchgate.providers.dialects.signature_blocks import to_block_data
from batchgate.providers.dialects.tool_arguments import arguments_object
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

UNKNOWN_FINISH: Final = "unknown_finish_reason"
"""The type of stop_details for a finish reason that is in no table; its explanation has the word."""

UNSIGNED: Final = ""
"""The signature of a thinking block that the provider did not sign."""

_STOP_REASONS: Final[dict[FinishClass, str]] = {
    "stopped": "end_turn",
    "cut_off": "max_tokens",
    "tool_calls": "tool_use",
    "filtered": "refusal",
    "unknown": "end_turn",
}

_SERVICE_TIERS: Final = {"default": "standard", "priority": "priority"}
"""OpenAI's other tiers have no equivalent in Messages: service_tier is then null."""

_NULL: Final = Raw(b"null")
_NO_USAGE: Final = c.ChatUsage()
_NO_DETAILS: Final = c.ChatPromptTokensDetails()


def completion_to_message(
    completion: c.ChatCompletion, *, model: str, custom_id: str, call_id_seed: bytes = b""
) -> m.Message:
    """Translate the first choice of a completion to a Message.

    ``model`` and ``custom_id`` of the request are defaults for servers that leave out the model or the id. Calls
    without an id get one that is made of ``call_id_seed``. Raises `NoUpstreamAnswer` for an invalid answer.
    """
    choice = first_choice(completion)
    content = [*_content(choice, call_id_seed)]
    refusal = choice.message.refusal or None
    stop_text = choice.stop_reason if isinstance(choice.stop_reason, str) else None
    stop_reason = _stop_reason(choice, content, refusal)
    return m.Message(
        id=completion.id or f"msg_{custom_id}",
        type="message",
        role="assistant",
        model=completion.model or model,
        content=content,
        stop_reason=stop_reason,
        stop_sequence=stop_text if stop_reason == "stop_sequence" else None,
        stop_details=_stop_details(choice, stop_reason, refusal),
        container=_NULL,
        diagnostics=_NULL,
        usage=_usage(completion),
    )


# ---------------------------------------------------------------- content


def _content(choice: c.ChatChoice, call_id_seed: bytes) -> Iterator[m.ContentBlock]:
    yield from map(_part_block, message_parts(choice.message, "Messages"))
    for call in message_calls(choice.message, call_id_seed):
        if call.signature is not None:
            yield m.RedactedThinkingBlock(data=to_block_data(call.signature))
        arguments = arguments_object(call.function.arguments)
        yield m.ToolUseBlock(id=call.id, name=call.function.name, input=arguments)


def _part_block(part: AnswerPart) -> m.ContentBlock:
    match part.kind:
        case "text":
            return m.TextBlock(text=part.text, citations=None)
        case "thinking":
            return m.ThinkingBlock(thinking=part.text, signature=UNSIGNED)
        case "image":
            return m.TextBlock(text=markdown_image(part.text), citations=None)
        case _:
            assert_never(part.kind)


# ---------------------------------------------------------------- stop reason


def _stop_reason(choice: c.ChatChoice, content: list[m.ContentBlock], refusal: str | None) -> str:
    """Return the stop reason; an unknown finish reason becomes end_turn, and `_stop_details` shows it."""
    reason = _STOP_REASONS.get(classify_finish(choice.finish_reason or None), "end_turn")
    if refusal is not None:
        return "refusal"
    if reason == "end_turn" and any(isinstance(block, m.ToolUseBlock) for block in content):
        # OpenAI sends "stop" when tool_choice named the function; some servers always send it.
        return "tool_use"
    if reason == "end_turn" and isinstance(choice.stop_reason, str):
        return "stop_sequence"
    return reason


def _stop_details(choice: c.ChatChoice, stop_reason: str, refusal: str | None) -> m.StopDetails | None:
    if stop_reason == "refusal":
        return m.StopDetails(type="refusal", category=None, explanation=refusal)
    if classify_finish(choice.finish_reason or None) == "unknown":
        explanation = f"The provider's finish_reason is {choice.finish_reason!r}."
        return m.StopDetails(type=UNKNOWN_FINISH, category=None, explanation=explanation)
    return None


# ---------------------------------------------------------------- usage


def _usage(completion: c.ChatCompletion) -> m.Usage:
    """Translate the usage; Messages does not count tokens read from or written to the cache as input_tokens."""
    usage = completion.usage or _NO_USAGE
    prompt = usage.prompt_tokens_details or _NO_DETAILS
    read, written = token_count(prompt.cached_tokens), token_count(prompt.cache_write_tokens)
    return m.Usage(
        input_tokens=max(0, (usage.prompt_tokens or 0) - (read or 0) - (written or 0)),
        output_tokens=completion_tokens(usage),
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
        cache_creation=None,
        output_tokens_details=_output_details(usage),
        server_tool_use=_NULL,
        service_tier=_SERVICE_TIERS.get(completion.service_tier or ""),
        inference_geo=None,
        speed=None,
    )


def _output_details(usage: c.ChatUsage) -> m.OutputTokensDetails | None:
    details = usage.completion_tokens_details
    thinking = token_count(details.reasoning_tokens) if details else None
    return None if thinking is None else m.OutputTokensDetails(thinking_tokens=thinking)
