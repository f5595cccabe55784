"""Embeddings on Vertex AI: embedContent for models of Gemini, and predict for the others (more-dialects 1.9).

Vertex has the options of a request of embedContent in an object of their own, ``embedContentConfig``.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import RequestRow
from batchgate.providers.dialects.gemini_decoding import EMBED, decode_gemini
from batchgate.providers.dialects.gemini_embeddings.requests import embeddings_to_gemini
from batchgate_api import gemini as g

_OPTIONS: Final = ("taskType", "title", "outputDimensionality")


class _Statistics(Struct, frozen=True):
    token_count: float = 0


class _Vector(Struct, frozen=True):
    values: Raw
    statistics: _Statistics = _Statistics()


class _Prediction(Struct, frozen=True):
    embeddings: _Vector


class _Answer(Struct, frozen=True):
    predictions: list[_Prediction]


class _Text(Struct, frozen=True):
    content: str
    task_type: str | UnsetType | None = UNSET
    title: str | UnsetType | None = UNSET


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def uses_predict(model: str) -> bool:
    """Return whether the embeddings of a model come from predict."""
    return "gemini" not in model


def embedding_call(row: RequestRow, model: str) -> tuple[str, bytes]:
    """Return the method and the body for a row with a request for embeddings.

    Raises `Untranslatable` for what cannot be said, and one of `DECODING_ERRORS`.
    """
    if row.kind == "embed_content":
        requests = [decode_gemini(EMBED, row.params)]
    else:
        requests = embeddings_to_gemini(row.params, model).requests
    if uses_predict(model):
        return "predict", msgspec.json.encode(_prediction(requests))
    if len(requests) == 1:
        return "embedContent", msgspec.json.encode(_embedding(requests[0]))
    return "batchEmbedContents", msgspec.json.encode({"requests": [_embedding(request) for request in requests]})


def _embedding(request: g.GeminiEmbedRequest) -> dict[str, object]:
    config = {name: value for name in _OPTIONS if (value := getattr(request, name)) not in {UNSET, None}}
    # Left to itself, Vertex cuts a text that is too long, and says nothing.
    return {"content": request.content, "embedContentConfig": config | {"autoTruncate": False}}


def _prediction(requests: list[g.GeminiEmbedRequest]) -> dict[str, object]:
    size = requests[0].outputDimensionality
    parameters = {"autoTruncate": False} | ({} if size in {UNSET, None} else {"outputDimensionality": size})
    return {"instances": [_instance(request) for request in requests], "parameters": parameters}


def _instance(request: g.GeminiEmbedRequest) -> _Text:
    parts = request.content.parts or []
    if len(parts) != 1 or not isinstance(parts[0].text, str):
        raise Untranslatable("content.parts", "should be one text; this model of Vertex embeds one text with a request")
    return _Text(parts[0].text, task_type=request.taskType, title=request.title)


def embeddings_of_prediction(body: bytes) -> bytes:
    """Return an answer of predict as one of embedContent, or of batchEmbedContents if it has several vectors.

    Raises one of `DECODING_ERRORS`.
    """
    found = [prediction.embeddings for prediction in _ANSWER.decode(body).predictions]
    if not found:
        return body
    vectors = [{"values": vector.values} for vector in found]
    tokens = int(sum(vector.statistics.token_count for vector in found))
    usage = {"promptTokenCount": tokens, "totalTokenCount": tokens}
    answer: dict[str, object] = {"embedding": vectors[0]} if len(vectors) == 1 else {"embeddings": vectors}
    return msgspec.json.encode(answer | {"usageMetadata": usage})
