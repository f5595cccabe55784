"""Shared by the translations of Chat Completions answers.

The caller has paid for the answer, so unusual content is kept as far as possible. Only content that the other dialect
cannot represent raises `NoUpstreamAnswer`: no choice, an incomplete answer, an unknown part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct, UnsetType

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.providers.dialects.answer_images import message_image_urls, part_image_urls
from batchgate.providers.dialects.finish_reasons import classify_finish
from batchgate.providers.dialects.tool_call_ids import made_up_call_id
from batchgate.providers.responses.token_counts import output_with_reasoning
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


class AnswerCall(Struct, frozen=True):
    """A call of a function in an answer."""

    id: str
    function: c.ChatCalledFunction
    signature: str | None = None
    """The signature that Gemini gave it."""


def message_parts(message: c.ChatMessage, dialect: str) -> Iterator[AnswerPart]:
    """Yield what a message says besides calls: thoughts, content, refusal and images, in this order.

    ``dialect`` is that of the answer to be made. Raises `NoUpstreamAnswer` as `answer_parts` does.
    """
    if thought := message.reasoning or message.reasoning_content:
        yield AnswerPart("thinking", thought)
    match message.content:
        case str() as text if text:
            yield AnswerPart("text", text)
        case list() as parts:
            for part in parts:
                yield from answer_parts(part, dialect)
        case _:
            pass
    if message.refusal:
        yield AnswerPart("text", message.refusal)
    yield from (AnswerPart("image", url) for url in message_image_urls(message))


def message_calls(message: c.ChatMessage, call_id_seed: bytes) -> Iterator[AnswerCall]:
    """Yield the calls of a message; one without an id gets one that is made of ``call_id_seed``.

    Raises `NoUpstreamAnswer` for a call that is none of a function.
    """
    for index, call in enumerate(message.tool_calls or ()):
        if not call.function:
            raise unusable_answer("it has a tool call that is not a function call")
        yield AnswerCall(call.id or made_up_call_id(call_id_seed, index), call.function, thought_signature(call))
    if message.function_call:
        yield AnswerCall(made_up_call_id(call_id_seed, 0), message.function_call)


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


def thought_signature(call: c.ChatToolCall) -> str | None:
    """Return the signature that Gemini gave a tool call."""
    google = call.extra_content.google if call.extra_content else None
    return (google.thought_signature or None) if google else None


def completion_tokens(usage: c.ChatUsage) -> int:
    """Return the output tokens of a completion, reasoning included."""
    details = usage.completion_tokens_details or c.ChatCompletionTokensDetails()
    reasoning = token_count(details.reasoning_tokens) or 0
    return output_with_reasoning(
        usage.prompt_tokens or 0, usage.completion_tokens or 0, reasoning, usage.total_tokens or 0
    )


def token_count(count: int | UnsetType | None) -> int | None:
    """Return a number of tokens, or None if the server sent none."""
    return None if isinstance(count, UnsetType) else count
