"""Translates an answer: Message to Chat Completions, by the rules of `MESSAGE_TO_CHAT`.

The caller passes the time, which a Message lacks. Fields that OpenAI always sends and a Message lacks are null.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from batchgate.providers.dialects.chat_via_messages.answer_rules import REJECTED
from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
from batchgate.providers.dialects.tool_arguments import input_text
from batchgate.providers.dialects.tool_call_ids import made_up_call_id
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

_FINISH_REASONS: Final[dict[FinishClass, str]] = {
    "stopped": "stop",
    "cut_off": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
}

_SERVICE_TIERS: Final = {"standard": "default", "priority": "priority"}
_NULL: Final = Raw(b"null")


def message_to_completion(
    message: m.Message, *, model: str, custom_id: str, created: int, call_id_seed: bytes = b""
) -> c.ChatCompletion:
    """Translate a Message to a completion with one choice; ``created`` is its time in Unix seconds.

    ``model`` and ``custom_id`` are defaults for fields that the server left out. Calls without an id get one that is
    made of ``call_id_seed``.

    Raises `Untranslatable` for blocks of Anthropic's built-in tools, which translated requests never use.
    """
    return c.ChatCompletion(
        id=message.id or f"chatcmpl-{custom_id}",
        object="chat.completion",
        created=created,
        model=message.model or model,
        choices=[
            c.ChatChoice(
                index=0,
                message=_chat_message(message, call_id_seed),
                finish_reason=_finish_reason(message),
                stop_reason=message.stop_sequence or UNSET,
                logprobs=_NULL,
            )
        ],
        usage=_usage(message.usage),
        service_tier=_SERVICE_TIERS.get(message.usage.service_tier or "", UNSET),
    )


def _chat_message(message: m.Message, call_id_seed: bytes) -> c.ChatMessage:
    texts: list[str] = []
    thinking_texts: list[str] = []
    calls: list[c.ChatToolCall] = []
    for index, block in enumerate(message.content):
        match block:
            case m.TextBlock(text=text):
                texts.append(text)
            case m.ThinkingBlock(thinking=thinking):
                thinking_texts.append(thinking)
            case m.ToolUseBlock():
                calls.append(_tool_call(block, block.id or made_up_call_id(call_id_seed, len(calls))))
            case m.RedactedThinkingBlock():
                pass
            case _:
                raise REJECTED.error(block, f"content.{index}")
    refusal = _refusal(message)
    content = "".join(text for text in texts if text != refusal)
    return c.ChatMessage(
        role="assistant",
        content=content or (None if calls or refusal else ""),
        refusal=refusal,
        reasoning_content="\n".join(thinking_texts) or UNSET,
        tool_calls=calls or UNSET,
    )


def _tool_call(block: m.ToolUseBlock, call_id: str) -> c.ChatToolCall:
    arguments = Raw(msgspec.json.encode(input_text(block.input)))
    function = c.ChatCalledFunction(name=block.name, arguments=arguments)
    return c.ChatToolCall(id=call_id, type="function", function=function)


def _refusal(message: m.Message) -> str | None:
    details = message.stop_details
    return details.explanation if details and details.type == "refusal" else None


def _finish_reason(message: m.Message) -> str:
    """Return the finish reason; an unknown stop reason stays as it is.

    Like OpenAI, distinguish a refusal by the model ("stop") from a content filter.
    """
    if message.stop_reason == "refusal" and message.stop_details:
        declined = message.stop_details.explanation and not message.stop_details.category
        return "stop" if declined else "content_filter"
    return _FINISH_REASONS.get(classify_finish(message.stop_reason)) or message.stop_reason or "stop"


def _usage(usage: m.Usage) -> c.ChatUsage:
    """Translate the usage; OpenAI counts cached input as part of the prompt."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    prompt = usage.input_tokens + read + written
    return c.ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=usage.output_tokens,
        total_tokens=prompt + usage.output_tokens,
        prompt_tokens_details=c.ChatPromptTokensDetails(cached_tokens=read, cache_write_tokens=written),
        completion_tokens_details=_completion_details(usage.output_tokens_details),
    )


def _completion_details(
    details: m.OutputTokensDetails | UnsetType | None,
) -> c.ChatCompletionTokensDetails | UnsetType:
    return c.ChatCompletionTokensDetails(reasoning_tokens=details.thinking_tokens) if details else UNSET
