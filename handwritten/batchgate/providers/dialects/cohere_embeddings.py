"""Translates embeddings from OpenAI's format to Cohere's and back (more-dialects 3.3).

Cohere wants to know what texts are embedded for, which no OpenAI request says: the account does. Its compatible
endpoint has no field for that, nor for the dimensions, so it is not used.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import EmbeddingInputType
from batchgate.providers.dialects.embedding_numbers import numbers_in_base64
from batchgate.providers.dialects.rules import Ignored, Mapped, Rule, field_rules, unset_if_null
from batchgate.providers.responses.token_counts import token_counts
from batchgate_api import openai_rows as o

EMBEDDINGS_TO_COHERE: Final[tuple[Rule, ...]] = field_rules(
    o.EmbeddingsRequest,
    model=Mapped("model, without the account's prefix"),
    input=Mapped("texts; tokens are rejected"),
    dimensions=Mapped("output_dimension"),
    encoding_format=Mapped("left out; the translated answer has that format"),
    user=Ignored("it only labels the request"),
)
"""Every field of an OpenAI request for embeddings and its translation to Cohere."""


class CohereEmbedRequest(Struct, frozen=True, kw_only=True):
    """The body of a call to /v2/embed."""

    model: str
    input_type: EmbeddingInputType
    texts: list[str]
    embedding_types: tuple[str, ...] = ("float",)
    output_dimension: int | UnsetType = UNSET


class _Vectors(Struct, frozen=True):
    float_: list[Raw] = msgspec.field(name="float")


class _Answer(Struct, frozen=True):
    embeddings: _Vectors


class _Item(Struct, frozen=True):
    index: int
    embedding: Raw | str
    object: str = "embedding"


class _Asked(Struct, frozen=True):
    encoding_format: str | None = None


_REQUEST: Final = msgspec.json.Decoder(o.EmbeddingsRequest)
_TEXTS: Final = msgspec.json.Decoder(str | list[str])
_ANSWER: Final = msgspec.json.Decoder(_Answer)
_ASKED: Final = msgspec.json.Decoder(_Asked)
_NUMBERS: Final = msgspec.json.Decoder(list[float])


def embeddings_to_cohere(body: bytes, model: str, use: EmbeddingInputType) -> CohereEmbedRequest:
    """Translate an OpenAI request to one of Cohere for ``model``.

    Raises `Untranslatable` for tokens as input, and one of `DECODING_ERRORS`.
    """
    request = _REQUEST.decode(body)
    try:
        texts = _TEXTS.decode(request.input)
    except DECODING_ERRORS as error:
        raise Untranslatable("input", "should be a text or a list of texts; Cohere takes no tokens") from error
    return CohereEmbedRequest(
        model=model,
        input_type=use,
        texts=[texts] if isinstance(texts, str) else texts,
        output_dimension=unset_if_null(request.dimensions),
    )


def cohere_embeddings_to_openai(body: bytes, *, model: str, request: bytes | None) -> o.Embeddings:
    """Translate an answer of Cohere; ``request`` is the OpenAI request, which may ask for base64.

    Raises one of `DECODING_ERRORS`.
    """
    vectors = _ANSWER.decode(body).embeddings.float_
    as_base64 = request is not None and _ASKED.decode(request).encoding_format == "base64"
    items = (
        _Item(index, numbers_in_base64(_NUMBERS.decode(vector)) if as_base64 else vector)
        for index, vector in enumerate(vectors)
    )
    tokens = token_counts(body).all_or_billed.input_tokens or 0
    return o.Embeddings(
        object="list",
        model=model,
        data=[Raw(msgspec.json.encode(item)) for item in items],
        usage=Raw(msgspec.json.encode({"prompt_tokens": tokens, "total_tokens": tokens})),
    )
