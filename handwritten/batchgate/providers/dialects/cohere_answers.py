"""Translates an answer of Cohere's chat to Chat Completions (more-dialects 3.3).

Citations are left out, as the compatible API leaves them out.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct

from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
from batchgate.providers.responses.token_counts import token_counts
from batchgate_api import chat_completions as c

_FINISH_REASONS: Final[dict[FinishClass, str]] = {
    "stopped": "stop",
    "cut_off": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
}


class _Part(Struct, frozen=True):
    text: str | None = None
    thinking: str | None = None


class _Message(Struct, frozen=True):
    content: list[_Part] | str | None = None
    tool_calls: list[c.ChatToolCall] | None = None
    tool_plan: str | None = None


class _Answer(Struct, frozen=True):
    message: _Message
    id: str | None = None
    finish_reason: str | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def cohere_to_completion(body: bytes, *, model: str, created: int) -> c.ChatCompletion:
    """Translate an answer to a completion with one choice; ``created`` is its time in Unix seconds.

    An answer that Cohere did not finish keeps its own word for that. Raises one of `DECODING_ERRORS`.
    """
    answer = _ANSWER.decode(body)
    ending = _FINISH_REASONS.get(classify_finish(answer.finish_reason)) or answer.finish_reason
    choice = c.ChatChoice(index=0, message=_message(answer.message), finish_reason=ending, logprobs=Raw(b"null"))
    return c.ChatCompletion(
        id=answer.id, object="chat.completion", created=created, model=model, choices=[choice], usage=_usage(body)
    )


def _message(message: _Message) -> c.ChatMessage:
    parts = [_Part(text=message.content)] if isinstance(message.content, str) else message.content or []
    content = "".join([message.tool_plan or "", *(part.text or "" for part in parts)])
    return c.ChatMessage(
        role="assistant",
        content=content or (None if message.tool_calls else ""),
        refusal=None,
        reasoning_content="".join(part.thinking or "" for part in parts) or UNSET,
        tool_calls=message.tool_calls or UNSET,
    )


def _usage(body: bytes) -> c.ChatUsage:
    counts = token_counts(body)
    prompt, output = counts.all_or_billed.input_tokens or 0, counts.all_or_billed.output_tokens or 0
    return c.ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=output,
        total_tokens=prompt + output,
        prompt_tokens_details=c.ChatPromptTokensDetails(cached_tokens=counts.cached_tokens or 0),
    )
