"""Reads fields of a Chat Completions request that several formats need in the same form."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.rules import NO_ZERO_MAX_TOKENS, unset_if_null
from batchgate_api import chat_completions as c


def max_tokens(request: c.ChatCompletionRequest) -> int | UnsetType:
    """Return the limit of the answer, which has two names; raises `Untranslatable` if they have different values."""
    newer, older = unset_if_null(request.max_completion_tokens), unset_if_null(request.max_tokens)
    if newer is not UNSET and older is not UNSET and newer != older:
        raise Untranslatable("max_tokens", "max_completion_tokens has a different value; leave one out")
    return older if newer is UNSET else newer


def positive_max_tokens(request: c.ChatCompletionRequest) -> int | UnsetType:
    """Return the limit of the answer; raises `Untranslatable` also if it is 0."""
    limit = max_tokens(request)
    if limit == 0:
        is_older = unset_if_null(request.max_completion_tokens) is UNSET
        raise Untranslatable("max_tokens" if is_older else "max_completion_tokens", NO_ZERO_MAX_TOKENS)
    return limit


def temperature_up_to_one(request: c.ChatCompletionRequest, dialect: str) -> float | UnsetType:
    """Return the temperature; raises `Untranslatable` if it is above 1, the most that the dialect allows."""
    temperature = unset_if_null(request.temperature)
    if temperature is not UNSET and temperature > 1:
        raise Untranslatable("temperature", f"{dialect} allows at most 1; it should be between 0 and 1")
    return temperature


def stop_sequences(request: c.ChatCompletionRequest) -> list[str] | UnsetType:
    """Return the stop sequences as a list."""
    match request.stop:
        case None | UnsetType():
            return UNSET
        case str() as text:
            return [text]
        case several:
            return several or UNSET


def assistant_texts(message: c.ChatAssistantMessage) -> Iterator[str]:
    """Yield the texts and the refusal of an assistant message, empty ones too."""
    match message.content:
        case str() as text:
            yield text
        case list() as parts:
            for part in parts:
                yield part.refusal if isinstance(part, c.ChatRefusalPart) else part.text
        case _:
            pass
    if message.refusal:
        yield message.refusal


def has_content(text: str) -> bool:
    """Return whether a text is more than white space."""
    return not (text == "" or text.isspace())
