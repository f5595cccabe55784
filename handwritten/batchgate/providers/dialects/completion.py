"""Shared by the translations of Chat Completions answers.

The caller has paid for the answer, so unusual content is kept as far as possible. Only content that the other dialect
cannot represent raises `NoUpstreamAnswer`: no choice, an incomplete answer, an unknown part.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct, UnsetType

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.providers.dialects.answer_images import part_image_urls
from batchgate.providers.dialects.finish_reasons import classify_finish
from batchgate_api import chat_completions as c

_TEXT_PARTS: Final = frozenset({"text", "output_text", "input_text"})
_THINKING_PARTS: Final = frozenset({"thinking", "reasoning"})
_IMAGE_PARTS: Final = frozenset({"image_url", "image", "output_image"})
_CITATION_PARTS: Final = frozenset({"reference", "tool_reference"})
"""Mistral's references to sources, without a text."""


class AnswerPart(Struct, frozen=True):
    """A part of an answer's content; an image is its URL."""

    kind: Literal["text", "thinking", "image"]
    text: str


def answer_parts(part: c.ChatMessagePart, dialect: str) -> list[AnswerPart]:
    """Read a content part; it may have no text. ``dialect`` is that of the answer to be made.

    Raises `NoUpstreamAnswer` for a part of an unknown type without a text.
    """
    if part.type in _CITATION_PARTS:
        return []
    if part.type in _THINKING_PARTS:
        return [AnswerPart("thinking", thinking_text(part))]
    images = part_image_urls(part) if part.type in _IMAGE_PARTS else []
    texts = [text for text in (part.text, part.refusal) if text]
    if not texts and not images and part.type not in _TEXT_PARTS:
        raise unusable_answer(f"{dialect} has no equivalent of a part of the type {part.type!r}")
    return [*(AnswerPart("text", text) for text in texts), *(AnswerPart("image", url) for url in images)]


def first_choice(completion: c.ChatCompletion) -> c.ChatChoice:
    """Return the first choice: a request never asks for more than one."""
    if not completion.choices:
        raise unusable_answer("it has no choices")
    choice = completion.choices[0]
    if classify_finish(choice.finish_reason or None) == "broken_off":
        raise broken_off_answer(f"finish_reason {choice.finish_reason!r}")
    return choice


def broken_off_answer(reason: str) -> NoUpstreamAnswer:
    """Make the error for an answer that the server did not finish; the request is retried."""
    message = f"The provider's answer is incomplete ({reason})."
    return NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)


def unusable_answer(problem: str) -> NoUpstreamAnswer:
    """Make the error for an answer that cannot be used; the request is not retried, as the caller would pay again."""
    message = f"The provider's answer cannot be used: {problem}."
    return NoUpstreamAnswer("api_error", message, status=200, retry_safe=False)


def thinking_text(part: c.ChatMessagePart) -> str:
    """Return the text of a thinking part, which Mistral sends in several shapes."""
    match part.thinking:
        case str() as text:
            return text
        case list() as thoughts:
            return "".join(thought.text or "" for thought in thoughts)
        case _:
            return part.text or ""


def token_count(count: int | UnsetType | None) -> int | None:
    """Return a number of tokens, or None if the server sent none."""
    return None if isinstance(count, UnsetType) else count
