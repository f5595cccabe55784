"""Translates requests for embeddings between OpenAI's format and Gemini's."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.gemini_decoding import EMBED, decode_gemini
from batchgate.providers.dialects.gemini_embeddings.rules import REJECTED
from batchgate.providers.dialects.rules import unset_if_null
from batchgate_api import gemini as g
from batchgate_api import openai_rows as o

_REQUEST: Final = msgspec.json.Decoder(o.EmbeddingsRequest)
_TEXTS: Final = msgspec.json.Decoder(str | list[str])


class GeminiEmbedBatch(Struct, frozen=True):
    """The body of batchEmbedContents."""

    requests: list[g.GeminiEmbedRequest]


def embeddings_to_gemini(body: bytes, model: str) -> GeminiEmbedBatch:
    """Translate an OpenAI request to one of batchEmbedContents for ``model``.

    Raises `Untranslatable` for tokens as input, and one of `DECODING_ERRORS`.
    """
    request = _REQUEST.decode(body)
    try:
        texts = _TEXTS.decode(request.input)
    except DECODING_ERRORS as error:
        raise Untranslatable("input", "should be a text or a list of texts; Gemini takes no tokens") from error
    if not texts:
        raise Untranslatable("input", "should have at least one text")
    dimensions = unset_if_null(request.dimensions)
    return GeminiEmbedBatch(
        [
            g.GeminiEmbedRequest(
                model=f"models/{model}",
                content=g.GeminiContent(parts=[g.GeminiPart(text=text)]),
                outputDimensionality=dimensions,
            )
            for text in ([texts] if isinstance(texts, str) else texts)
        ]
    )


def gemini_to_embeddings(body: bytes, model: str) -> o.EmbeddingsRequest:
    """Translate a request of embedContent to an OpenAI request for ``model``.

    Raises `Untranslatable` with the path of an unsupported field, and one of `DECODING_ERRORS`.
    """
    request = decode_gemini(EMBED, body)
    REJECTED.check(request, "")
    parts = request.content.parts or []
    for index, part in enumerate(parts):
        REJECTED.check(part, f"content.parts.{index}")
    if len(parts) != 1:
        raise Untranslatable("content.parts", "should be one text; other servers embed one text with a request")
    return o.EmbeddingsRequest(
        model=model,
        input=Raw(msgspec.json.encode(parts[0].text or "")),
        dimensions=unset_if_null(request.outputDimensionality),
        encoding_format=UNSET,
    )
