"""The handler for Gemini's own API: generateContent and embedContent rows are sent unchanged, others are translated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Raw

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind, UpstreamRequest, UpstreamResponse
from batchgate.providers.dialects.translation import (
    CONVERSATION_KINDS,
    EMBEDDING_KINDS,
    KIND_NAMES,
    translate_request,
)
from batchgate.providers.handlers.answers import decode_answer

VERSION: Final = "/v1beta"
"""The version of the API: the first part of every path below the ``base_url``."""

_METHODS: Final[dict[RowKind, str]] = {
    "embed_content": "embedContent",
    "embeddings": "batchEmbedContents",
}
"""The method for rows of each kind; it is generateContent for conversations."""

_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def key_headers(account: Account) -> dict[str, str]:
    """Return the header with the key of an account; none for an account without a key."""
    return {"x-goog-api-key": account.api_key} if account.api_key else {}


def model_path(model: str) -> str:
    """Return the path of a model, whose name may begin with ``models/``."""
    return f"{VERSION}/models/{quote(model.removeprefix('models/'), safe='/')}"


class GeminiHandler:
    """Calls generateContent and its relatives below the ``base_url`` of an account; ``now`` returns Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names an invalid or untranslatable field."""
        if "anthropic-user-profile-id" in row.headers:
            raise Untranslatable("anthropic-user-profile-id", "only Anthropic has user profiles; leave the header out")
        body = self.body(row)
        method = _METHODS.get(row.kind, "generateContent")
        return UpstreamRequest(
            url=f"{account.base_url}{model_path(row.model)}:{method}",
            headers={"content-type": "application/json"} | key_headers(account),
            body=body,
            timeout=account.timeout,
        )

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer, of the row's kind."""
        return decode_answer(row, response, self.sent_kind(row.kind), self._now())

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of request that is sent for a row of ``kind``; raises `Untranslatable`."""
        if kind in CONVERSATION_KINDS:
            return "generate_content"
        if kind in EMBEDDING_KINDS:
            return "embed_content"
        raise Untranslatable("url", f"gemini does not support {KIND_NAMES[kind]}; choose another provider")

    def body(self, row: RequestRow) -> bytes:
        """Return the body of a call; the fields of a row in Gemini's format stay byte for byte."""
        kind = self.sent_kind(row.kind)
        if kind == row.kind:
            return _without_model(row.params)
        return translate_request(row.params, kind=row.kind, to=kind, model=row.model.removeprefix("models/"))


def _without_model(params: bytes) -> bytes:
    """Return a request without the model, which stands in the URL."""
    try:
        fields = _FIELDS.decode(params)
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
    if "model" not in fields:
        return params
    del fields["model"]
    return msgspec.json.encode(fields)
