"""Which requests cannot run natively, by provider: a request with one of these fields takes the direct lane instead.

The fields are those of requests in the provider's own format. A translated request has none of them, since the
translation rejects or leaves out what the provider does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import RequestRow, RowKind

_NULL: Final = frozenset({b"null"})
_OFF: Final = frozenset({b"null", b"false"})


class _Peek(Struct):
    """The fields that any rule reads; all others are skipped."""

    stream: Raw | UnsetType = UNSET
    background: Raw | UnsetType = UNSET
    previous_response_id: Raw | UnsetType = UNSET
    stream_options: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET
    max_completion_tokens: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    speed: Raw | UnsetType = UNSET
    store: Raw | UnsetType = UNSET
    previous_thread_event_id: Raw | UnsetType = UNSET
    cache_hint: Raw | UnsetType = UNSET
    context_hint: Raw | UnsetType = UNSET
    fallbacks: Raw | UnsetType = UNSET
    research_preview_2026_02: Raw | UnsetType = UNSET


_PEEK: Final = msgspec.json.Decoder(_Peek)


class RefusedField(Struct, frozen=True):
    """One field that keeps a request from running natively."""

    field: str
    reason: str
    kinds: frozenset[RowKind]
    """The kinds of requests that the rule is about."""
    matches: Callable[[bytes], bool]
    """Whether the JSON value of the field is refused."""


def _is_set(value: bytes) -> bool:
    return value not in _NULL


def _is_on(value: bytes) -> bool:
    return value not in _OFF


def _is_zero(value: bytes) -> bool:
    return value == b"0"


def _is_active(value: bytes) -> bool:
    return value == b'"active"'


def _has_several_inputs(value: bytes) -> bool:
    """Return whether an ``input`` of embeddings is a list of texts, or of lists of tokens, with more than one item."""
    try:
        items = msgspec.json.decode(value, type=list[Raw])
    except DECODING_ERRORS:
        return False
    return len(items) > 1 and bytes(items[0])[:1] in {b'"', b"["}


_EVERY_KIND: Final[frozenset[RowKind]] = frozenset(
    {"messages", "chat_completions", "responses", "embeddings", "completions"}
)
_CHAT: Final[frozenset[RowKind]] = frozenset({"chat_completions", "completions"})
_RESPONSES: Final[frozenset[RowKind]] = frozenset({"responses"})
_MESSAGES: Final[frozenset[RowKind]] = frozenset({"messages"})
_EMBEDDINGS: Final[frozenset[RowKind]] = frozenset({"embeddings"})

_NOT_IN_BATCHES: Final = "Message Batches do not take it"

_EVERYWHERE: Final = (RefusedField("stream", "batches do not stream", _EVERY_KIND, _is_on),)
_OPENAI: Final = (
    RefusedField("background", "a request of a batch cannot run in the background", _RESPONSES, _is_on),
    RefusedField("previous_response_id", "a batch may not see the response that it names", _RESPONSES, _is_set),
    RefusedField(
        "input",
        "a batch takes 50,000 inputs, which are counted as one for each request",
        _EMBEDDINGS,
        _has_several_inputs,
    ),
)
_ANTHROPIC: Final = (
    RefusedField("speed", _NOT_IN_BATCHES, _MESSAGES, _is_set),
    RefusedField("store", _NOT_IN_BATCHES, _MESSAGES, _is_set),
    RefusedField("previous_thread_event_id", _NOT_IN_BATCHES, _MESSAGES, _is_set),
    RefusedField("cache_hint", _NOT_IN_BATCHES, _MESSAGES, _is_set),
    RefusedField("context_hint", _NOT_IN_BATCHES, _MESSAGES, _is_set),
    RefusedField("fallbacks", _NOT_IN_BATCHES, _MESSAGES, _is_set),
    RefusedField("research_preview_2026_02", _NOT_IN_BATCHES, _MESSAGES, _is_active),
    RefusedField("max_tokens", "Message Batches take 1 or more", _MESSAGES, _is_zero),
)
_DEEPINFRA: Final = (
    RefusedField("stream_options", "DeepInfra's batches fail such a request", _CHAT, _is_set),
    RefusedField("max_tokens", "DeepInfra refuses the whole batch for 0", _CHAT, _is_zero),
    RefusedField("max_completion_tokens", "DeepInfra refuses the whole batch for 0", _CHAT, _is_zero),
)

REFUSED_FIELDS: Final[Mapping[str, tuple[RefusedField, ...]]] = MappingProxyType(
    {
        "openai": _EVERYWHERE + _OPENAI,
        "azure": _EVERYWHERE + _OPENAI,
        "anthropic": _EVERYWHERE + _ANTHROPIC,
        "deepinfra": _EVERYWHERE + _OPENAI + _DEEPINFRA,
        "perplexity": _EVERYWHERE + _OPENAI,
    }
)
"""The refused fields by provider; any other provider has `stream` alone."""


def refused_field(provider: str, row: RequestRow) -> str | None:
    """Return ``field: reason`` of the first refused field of a request; None if there is none.

    A request that is not a JSON object is not refused here: its encoding reports it.
    """
    try:
        peek = _PEEK.decode(row.params)
    except DECODING_ERRORS:
        return None
    for rule in REFUSED_FIELDS.get(provider, _EVERYWHERE):
        value = getattr(peek, rule.field)
        if value is not UNSET and row.kind in rule.kinds and rule.matches(bytes(value)):
            return f"{rule.field}: {rule.reason}"
    return None
