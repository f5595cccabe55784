"""Which requests run in Gemini's jobs, and how they stand in them."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import RequestRow
from batchgate.providers.batches.refusals import refused_field
from batchgate.providers.dialects.gemini_decoding import EMBED, GENERATE, decode_gemini
from batchgate.providers.handlers.gemini import GeminiHandler


class _Config(Struct, frozen=True):
    responseJsonSchema: Raw | UnsetType = msgspec.UNSET  # noqa: N815 - Gemini's name


class _Request(Struct, frozen=True):
    generationConfig: _Config | None = None  # noqa: N815 - Gemini's name


class _EmbedBatch(Struct, frozen=True):
    requests: list[dict[str, Raw]]


_REQUEST: Final = msgspec.json.Decoder(_Request)
_EMBED_BATCH: Final = msgspec.json.Decoder(_EmbedBatch)
_SCHEMA: Final = b"chema"


def job_request(handler: GeminiHandler, row: RequestRow) -> bytes:
    """Return the request of a row in a job: the body of the live call, or for embeddings that of its only text."""
    body = handler.body(row)
    if row.kind != "embeddings":
        return body
    [request] = _EMBED_BATCH.decode(body).requests
    del request["model"]
    return msgspec.json.encode(request)


def refusal(handler: GeminiHandler, row: RequestRow) -> str | None:
    """Return why a request cannot run in a job; an invalid request that is translated is reported by its encoding."""
    if (reason := refused_field("gemini", row)) is not None:
        return reason
    if row.kind in {"generate_content", "embed_content"} and (problem := _problem(row)) is not None:
        return f"{problem} (one invalid request makes Gemini refuse the whole job)"
    if _SCHEMA in row.params and _has_json_schema(handler, row):
        return "responseJsonSchema: answers in Gemini's jobs do not keep to it"
    return None


def _problem(row: RequestRow) -> str | None:
    """Return what is wrong with a request in Gemini's own format, as far as its models tell."""
    try:
        if row.kind == "generate_content":
            decode_gemini(GENERATE, row.params)
        else:
            decode_gemini(EMBED, row.params)
    except DECODING_ERRORS as error:
        return str(describe_decoding_error(error))
    return None


def _has_json_schema(handler: GeminiHandler, row: RequestRow) -> bool:
    try:
        config = _REQUEST.decode(handler.body(row)).generationConfig
    except (RequestError, *DECODING_ERRORS):
        return False
    schema = config.responseJsonSchema if config else None
    return isinstance(schema, Raw) and bytes(schema) != b"null"
