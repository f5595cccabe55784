"""Reads a Chat Completions answer, for all who translate it.

An answer has been paid for. What is strange in it is therefore kept as well as it can be, and only what the other
dialect cannot hold raises `UpstreamUnreachable`: no choice, an answer broken off, an unknown part.
"""

from __future__ import annotations

from typing import Final

from msgspec import UnsetType

from batchgate.engine.model.errors import UpstreamUnreachable
from batchgate_api import chat_completions as c

_FAILED_FINISH_REASONS: Final = frozenset({"error", "abort"})
"""How OpenRouter, and vLLM and SGLang, say that an answer is not whole."""


def first_choice(completion: c.ChatCompletion) -> c.ChatChoice:
    """Give the first choice, as a request never asks for more."""
    if not completion.choices:
        raise unusable_answer("without any choice")
    choice = completion.choices[0]
    if choice.finish_reason in _FAILED_FINISH_REASONS:
        how = f"that it broke off (finish_reason {choice.finish_reason!r})"
        raise UpstreamUnreachable("api_error", f"The provider answered {how}.", status=200, retry_safe=True)
    return choice


def unusable_answer(how: str) -> UpstreamUnreachable:
    """Make the error for an answer that cannot be used and is not paid for again."""
    return UpstreamUnreachable("api_error", f"The provider answered {how}.", status=200, retry_safe=False)


def thinking_text(part: c.ChatMessagePart) -> str:
    """Read a thinking part of Mistral's."""
    match part.thinking:
        case str() as text:
            return text
        case list() as thoughts:
            return "".join(thought.text or "" for thought in thoughts)
        case _:
            return part.text or ""


def token_count(count: int | UnsetType | None) -> int | None:
    """Read a number of tokens that may be left out."""
    return None if isinstance(count, UnsetType) else count
