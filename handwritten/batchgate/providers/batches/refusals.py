"""Which requests cannot run natively, by provider: a request with one of these fields takes the direct lane instead.

The fields are those of requests in the provider's own format. A translated request has none of them, since the
translation rejects or leaves out what the provider does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import RequestRow, RowKind

_NULL: Final = frozenset({b"null"})
_EMBEDDED_MEDIA: Final = re.compile(rb'(?<!\\)"(?:data:[\w/.+-]+[;,]|base64")')
_OFF: Final = frozenset({b"null", b"false"})


class _Peek(Struct):
    """The fields that any rule reads; all others are skipped."""

    stream: Raw | UnsetType = UNSET
    background: Raw | UnsetType = UNSET
    previous_response_id: Raw | UnsetType = UNSET
    stream_options: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET
    max_completion_tokens: Raw | UnsetType = UNSET
    temperature: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    stop: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    prompt_token_ids: Raw | UnsetType = UNSET
    plugins: Raw | UnsetType = UNSET
    web_search_options: Raw | UnsetType = UNSET
    modalities: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    encoding_format: Raw | UnsetType = UNSET
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


def _is_negative(value: bytes) -> bool:
    return value.startswith(b"-")


def _is_above(limit: float) -> Callable[[bytes], bool]:
    def matches(value: bytes) -> bool:
        number: object = msgspec.json.decode(value)
        return isinstance(number, int | float) and number > limit

    return matches


def _is_empty(value: bytes) -> bool:
    return value[1:-1].isspace() or value == b"[]"


def _has_more_than_four(value: bytes) -> bool:
    items: object = msgspec.json.decode(value)
    return isinstance(items, list) and len(items) > 4


def _has_search(value: bytes) -> bool:
    items: object = msgspec.json.decode(value)
    kinds = [item.get("type") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return any(isinstance(kind, str) and kind.startswith(("web_search", "x_search")) for kind in kinds)


def _has_embedded_media(value: bytes) -> bool:
    """Return whether a text is a data URL, or names base64, as images and files of all dialects do."""
    return _EMBEDDED_MEDIA.search(value) is not None


def _is_active(value: bytes) -> bool:
    return value == b'"active"'


def _is_base64(value: bytes) -> bool:
    return value == b'"base64"'


def _has_several_inputs(value: bytes) -> bool:
    """Return whether an ``input`` of embeddings is a list of texts, or of lists of tokens, with more than one item."""
    try:
        items = msgspec.json.decode(value, type=list[Raw])
    except DECODING_ERRORS:
        return False
    return len(items) > 1 and bytes(items[0])[:1] in {b'"', b"["}


_EVERY_KIND: Final[frozenset[RowKind]] = frozenset(get_args(RowKind))
_CHAT: Final[frozenset[RowKind]] = frozenset({"chat_completions", "completions"})
_RESPONSES: Final[frozenset[RowKind]] = frozenset({"responses"})
_MESSAGES: Final[frozenset[RowKind]] = frozenset({"messages"})
_CONVERSATIONS: Final[frozenset[RowKind]] = frozenset({"chat_completions", "messages"})
_EMBEDDINGS: Final[frozenset[RowKind]] = frozenset({"embeddings"})

_NOT_IN_BATCHES: Final = "Message Batches do not take it"

REFUSED_EVERYWHERE: Final = (RefusedField("stream", "batches do not stream", _EVERY_KIND, _is_on),)
"""The fields that no batch API takes."""
_OPENAI: Final = (
    RefusedField("background", "a request of a batch cannot run in the background", _RESPONSES, _is_on),
    RefusedField("previous_response_id", "a batch may not see the response that it names", _RESPONSES, _is_set),
    RefusedField(
        "input",
        "a request of a job has one input: a batch takes 50,000 in all",
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
_NO_BASE64: Final = RefusedField(
    "encoding_format", "jobs give no base64: their results are read without the requests", _EMBEDDINGS, _is_base64
)
_GEMINI: Final = (
    RefusedField("input", "a request of a job has one input", _EMBEDDINGS, _has_several_inputs),
    _NO_BASE64,
)
_DEEPINFRA: Final = (
    RefusedField("stream_options", "DeepInfra's batches fail such a request", _CHAT, _is_set),
    RefusedField("max_tokens", "DeepInfra refuses the whole batch for 0", _CHAT, _is_zero),
    RefusedField("max_completion_tokens", "DeepInfra refuses the whole batch for 0", _CHAT, _is_zero),
)

_MISTRAL: Final = (
    RefusedField("temperature", "Mistral refuses the whole file for more than 1.5", _CHAT, _is_above(1.5)),
    RefusedField("max_tokens", "Mistral refuses the whole file for a negative number", _CHAT, _is_negative),
    RefusedField("messages", "Mistral refuses the whole file for an empty list", _CHAT, _is_empty),
)
_TOGETHER: Final = (
    RefusedField("stop", "Together's batches take four", _CHAT, _has_more_than_four),
    RefusedField("tools", "Together's batches do not search", _CHAT, _has_search),
)
_OPENROUTER: Final = (
    RefusedField(
        "messages", "OpenRouter's batches take media by their URLs alone", _CONVERSATIONS, _has_embedded_media
    ),
    RefusedField("tools", "OpenRouter's batches do not search", _CHAT, _has_search),
    RefusedField("plugins", "OpenRouter's batches have none", _CHAT, _is_set),
    RefusedField("web_search_options", "OpenRouter's batches do not search", _CHAT, _is_set),
    RefusedField("modalities", "OpenRouter's batches answer with text alone", _CHAT, _is_set),
)
_FIREWORKS: Final = (
    RefusedField("prompt_token_ids", "Fireworks fails the whole job if messages stand beside it", _CHAT, _is_set),
    RefusedField("messages", "Fireworks fails the whole job for an empty list", _CHAT, _is_empty),
)
_XAI: Final = (
    RefusedField("tools", "xAI's batches answer a search with several turns", _CHAT, _has_search),
    RefusedField("temperature", "xAI's batches never answer a request with more than 2", _CHAT, _is_above(2)),
)

REFUSED_FIELDS: Final[Mapping[str, tuple[RefusedField, ...]]] = MappingProxyType(
    {
        "openai": REFUSED_EVERYWHERE + _OPENAI,
        "azure": REFUSED_EVERYWHERE + _OPENAI,
        "anthropic": REFUSED_EVERYWHERE + _ANTHROPIC,
        "deepinfra": REFUSED_EVERYWHERE + _OPENAI + _DEEPINFRA,
        "cohere": (*REFUSED_EVERYWHERE, _NO_BASE64),
        "gemini": REFUSED_EVERYWHERE + _GEMINI,
        "perplexity": REFUSED_EVERYWHERE + _OPENAI,
        "mistral": REFUSED_EVERYWHERE + _MISTRAL,
        "openrouter": REFUSED_EVERYWHERE + _OPENROUTER,
        "fireworks": REFUSED_EVERYWHERE + _FIREWORKS,
        "xai": REFUSED_EVERYWHERE + _XAI,
        "together": REFUSED_EVERYWHERE + _TOGETHER,
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
    for rule in REFUSED_FIELDS.get(provider, REFUSED_EVERYWHERE):
        value = getattr(peek, rule.field)
        if value is not UNSET and row.kind in rule.kinds and rule.matches(bytes(value)):
            return f"{rule.field}: {rule.reason}"
    return None
