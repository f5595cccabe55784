"""Estimates the tokens of a request of any kind: what of it the model reads, and the most that it may answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import OWN_KINDS, RowKind
from batchgate.engine.model.token_estimate import TokenEstimate
from batchgate.providers.dialects.token_weights import estimated_tokens

MESSAGE_TOKENS: Final = 4
"""Tokens that each message has beside its content."""
CHAT_TOKENS: Final = 3
"""Tokens of a request with messages, which begin its answer."""
JSON_FACTOR: Final = 0.85
"""Signs that follow each other are fewer tokens in JSON than in other texts."""
MEDIA_TOKENS: Final = 1000
"""Tokens of an image, a document or a sound; they depend on its pixels, pages or seconds."""
EMBEDDING_KINDS: Final[frozenset[RowKind]] = frozenset({"embeddings", "embed_content", "cohere_embed"})

_CONTENT: Final = (
    "messages",
    "system",
    "prompt",
    "suffix",
    "input",
    "inputs",
    "instructions",
    "contents",
    "content",
    "systemInstruction",
    "system_instruction",
    "documents",
    "texts",
    "images",
)
"""The fields of requests with texts that the model reads."""
_SCHEMAS: Final = ("tools", "functions", "toolConfig", "response_format", "text", "output_config", "output_format")
"""The fields of requests with JSON that the model reads."""
_JSON: Final = frozenset({"input", "args", "json", "response"})
"""The fields inside messages with JSON that the model reads: calls of tools, and what they returned."""
_UNREAD: Final = frozenset(
    {
        "cache_control",
        "call_id",
        "detail",
        "encrypted_content",
        "format",
        "id",
        "media_type",
        "mimeType",
        "mime_type",
        "role",
        "signature",
        "status",
        "tool_call_id",
        "tool_use_id",
        "toolUseId",
        "type",
    }
)
"""The fields inside messages that are no content."""
_MEDIA: Final = frozenset(
    {"bytes", "data", "fileUri", "file_data", "file_id", "file_uri", "image_url", "images", "uri", "url"}
)
"""The fields inside messages with an image, a document or a sound, or with where it is."""
_UNCOUNTED: Final[frozenset[RowKind]] = OWN_KINDS | {"speech"}


class _Inference(Struct):
    maxTokens: int | None = None  # noqa: N815 - the name on the wire


class _GenerationConfig(Struct):
    maxOutputTokens: int | None = None  # noqa: N815 - Gemini's name
    candidateCount: int | None = None  # noqa: N815


class _OutputLimit(Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    max_tokens_to_sample: int | None = None
    n: int | None = None
    inferenceConfig: _Inference | None = None  # noqa: N815 - the name on the wire
    generationConfig: _GenerationConfig | None = None  # noqa: N815 - Gemini's name


_OUTPUT_LIMIT: Final = msgspec.json.Decoder(_OutputLimit)
_ANY: Final = msgspec.json.Decoder(dict[str, object])
_ENCODER: Final = msgspec.json.Encoder()


MAX_OUTPUT: Final = 10**9
"""Tokens; a larger limit bounds no answer of any model."""


def request_tokens(kind: RowKind, params: bytes) -> TokenEstimate | None:
    """Estimate the tokens of a request; None for a kind that counts none, and for what is no request."""
    if kind in _UNCOUNTED:
        return None
    try:
        body = _ANY.decode(params)
    except DECODING_ERRORS:
        return None
    prompt = _Prompt()
    for name in _CONTENT:
        prompt.add(name, body.get(name))
    for name in _SCHEMAS:
        if name in body:
            prompt.add_json(body[name])
    return TokenEstimate(prompt.tokens(), 0 if kind in EMBEDDING_KINDS else _output_limit(params))


def _output_limit(params: bytes) -> int | None:
    """Return the most tokens that all answers to a request may have together."""
    try:
        found = _OUTPUT_LIMIT.decode(params)
    except DECODING_ERRORS:
        return None
    gemini, converse = found.generationConfig or _GenerationConfig(), found.inferenceConfig or _Inference()
    limits = (
        found.max_tokens,
        found.max_completion_tokens,
        found.max_output_tokens,
        found.max_tokens_to_sample,
        gemini.maxOutputTokens,
        converse.maxTokens,
    )
    answers = max(1, found.n or gemini.candidateCount or 1)
    most = next((max(0, limit) * answers for limit in limits if limit is not None), None)
    return None if most is None or most > MAX_OUTPUT else most


class _Prompt:
    """What a model reads of a request."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._json: list[bytes] = []
        self._messages = 0
        self._counted = 0

    def add(self, name: str, value: object) -> None:
        """Add a field with everything in it, without recursion: requests may be nested deeply."""
        rest: list[tuple[str, object]] = [(name, value)]
        while rest:
            name, value = rest.pop()
            if isinstance(value, str):
                self._add_text(name, value)
            elif isinstance(value, dict):
                self._messages += "role" in value
                rest += self._members(value)
            elif isinstance(value, list):
                rest += self._items(name, value)

    def add_json(self, value: object) -> None:
        """Add a value as it is written."""
        self._json.append(_ENCODER.encode(value))

    def tokens(self) -> float:
        """Return the tokens of all that was added."""
        around = self._messages * MESSAGE_TOKENS + (CHAT_TOKENS if self._messages else 0)
        written = JSON_FACTOR * estimated_tokens(b"\n".join(self._json))
        return self._counted + around + written + estimated_tokens(b"\n".join(self._texts))

    def _add_text(self, name: str, value: str) -> None:
        if name in _MEDIA:
            self._counted += MEDIA_TOKENS
        else:
            self._texts.append(value.encode())

    def _members(self, value: Mapping[str, object]) -> Sequence[tuple[str, object]]:
        """Return the members to read, and add those that are read as JSON."""
        found = []
        for name, member in value.items():
            if name in _JSON and isinstance(member, dict):
                self.add_json(member)
            elif name not in _UNREAD:
                found.append((name, member))
        return found

    def _items(self, name: str, items: Sequence[object]) -> Sequence[tuple[str, object]]:
        """Return the items to read; a list of numbers is a text in tokens."""
        if items and all(type(item) is int for item in items):
            self._counted += len(items)
            return ()
        return [(name, item) for item in items]
