"""Translates embeddings between OpenAI's format and Gemini's."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from batchgate.providers.dialects.completion import unusable_answer
from batchgate.providers.dialects.embedding_numbers import numbers_in_base64, numbers_of_base64
from batchgate_api import gemini as g
from batchgate_api import openai_rows as o


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    total_tokens: int = 0


class _Item(Struct, frozen=True):
    index: int
    embedding: list[float] | str
    object: str = "embedding"


class _Answer(Struct, frozen=True):
    """An answer of embedContent or batchEmbedContents."""

    embedding: g.GeminiVector | None = None
    embeddings: list[g.GeminiVector] | None = None
    usageMetadata: g.GeminiUsage | None = None  # noqa: N815 - Gemini's name


class _Asked(Struct, frozen=True):
    encoding_format: str | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_ASKED: Final = msgspec.json.Decoder(_Asked)
_EMBEDDINGS: Final = msgspec.json.Decoder(o.Embeddings)
_ITEM: Final = msgspec.json.Decoder(_Item)
_USAGE: Final = msgspec.json.Decoder(_Usage)


def gemini_embeddings_to_openai(body: bytes, *, model: str, request: bytes | None) -> o.Embeddings:
    """Translate an answer of Gemini; ``request`` is the OpenAI request, which may ask for base64.

    Raises one of `DECODING_ERRORS`.
    """
    answer = _ANSWER.decode(body)
    vectors = [answer.embedding] if answer.embedding else answer.embeddings
    if vectors is None:
        raise unusable_answer("it has no embeddings")
    as_base64 = request is not None and _ASKED.decode(request).encoding_format == "base64"
    items = [
        _Item(index, numbers_in_base64(vector.values) if as_base64 else vector.values)
        for index, vector in enumerate(vectors)
    ]
    prompt = (answer.usageMetadata.promptTokenCount if answer.usageMetadata else 0) or 0
    total = (answer.usageMetadata.totalTokenCount if answer.usageMetadata else 0) or prompt
    return o.Embeddings(
        object="list",
        model=model,
        data=[Raw(msgspec.json.encode(item)) for item in items],
        usage=Raw(msgspec.json.encode(_Usage(prompt or total, total))),
    )


def openai_embeddings_to_gemini(body: bytes) -> g.GeminiEmbedding:
    """Translate an answer of an OpenAI server to one of embedContent. Raises one of `DECODING_ERRORS`."""
    answer = _EMBEDDINGS.decode(body)
    if not answer.data:
        raise unusable_answer("it has no embeddings")
    item = _ITEM.decode(answer.data[0])
    usage = _USAGE.decode(answer.usage) if isinstance(answer.usage, Raw) else _Usage()
    values = item.embedding if isinstance(item.embedding, list) else numbers_of_base64(item.embedding)
    return g.GeminiEmbedding(
        embedding=g.GeminiVector(values=values),
        usageMetadata=g.GeminiUsage(promptTokenCount=usage.prompt_tokens, totalTokenCount=usage.total_tokens),
    )
