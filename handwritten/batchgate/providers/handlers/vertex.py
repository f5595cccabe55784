"""The handler for Vertex AI: Gemini by generateContent, Claude by rawPredict, the models of others by Chat Completions.

With a project, calls go to the resources of the project, with an access token. Without one they go to Vertex in
express mode, with an API key, which has Google's models alone (more-dialects 1.9).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Raw, structs

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind, UpstreamRequest, UpstreamResponse
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.dialects.translation import (
    CONVERSATION_KINDS,
    EMBEDDING_KINDS,
    KIND_NAMES,
    translate_request,
)
from batchgate.providers.handlers.answers import decode_answer
from batchgate.providers.handlers.anthropic import TRANSLATED_VERSION
from batchgate.providers.handlers.gemini import GeminiHandler, key_headers
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.handlers.pass_through import fields_without_model
from batchgate.providers.handlers.vertex_embeddings import embedding_call, embeddings_of_prediction, uses_predict
from batchgate.providers.handlers.vertex_models import VertexModel, vertex_model

CLAUDE_VERSION: Final = "vertex-2023-10-16"
"""The anthropic_version of bodies for Claude, unless the row needs a newer one."""
GOOGLE_VERSION: Final = "/v1beta1"
"""The version of the API for Google's models and for jobs, as Google's own SDK has it."""
OTHERS_VERSION: Final = "/v1"
"""The version of the API for the models of others, as Anthropic's SDK has it."""
_OPENAI: Final = "/endpoints/openapi/chat/completions"
_OTHERS: Final = ServerCapabilities(name="vertex", serves=frozenset({"chat_completions"}))

_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def access_headers(account: Account) -> dict[str, str]:
    """Return the header with the access token, or in express mode with the API key; none without a key."""
    if account.project is None:
        return key_headers(account)
    return {"authorization": f"Bearer {account.api_key}"} if account.api_key else {}


def location_path(account: Account) -> str:
    """Return the path of a project's resources in its location; nothing in express mode."""
    return "" if account.project is None else f"/projects/{account.project}/locations/{account.region}"


class VertexHandler:
    """Calls models of the model garden below the ``base_url`` of an account; ``now`` returns Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._gemini: Final = GeminiHandler(now)
        self._others: Final = OpenAIHandler(_OTHERS, now)

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names an invalid or untranslatable field."""
        if "anthropic-user-profile-id" in row.headers:
            raise Untranslatable("anthropic-user-profile-id", "only Anthropic has user profiles; leave the header out")
        model = vertex_model(row.model)
        if account.project is None and model.publisher != "google":
            reason = f"without a project, account {account.name!r} has Google's models alone"
            raise Untranslatable("model", reason)
        path, body = self._call(model, row)
        headers = {"content-type": "application/json"} | access_headers(account)
        if model.publisher == "anthropic" and "anthropic-beta" in row.headers:
            headers["anthropic-beta"] = row.headers["anthropic-beta"]
        version = GOOGLE_VERSION if model.publisher == "google" else OTHERS_VERSION
        return UpstreamRequest(
            url=f"{account.base_url}{version}{location_path(account)}{path}",
            headers=headers,
            body=body,
            timeout=account.timeout,
        )

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer, of the row's kind."""
        model = vertex_model(row.model)
        kind = self.sent_kind(row.kind, model)
        if kind == "embed_content" and uses_predict(model.name) and response.status == 200:
            with suppress(*DECODING_ERRORS):  # else the answer is judged as it is
                response = structs.replace(response, body=embeddings_of_prediction(response.body))
        return decode_answer(row, response, kind, self._now())

    def sent_kind(self, kind: RowKind, model: VertexModel) -> RowKind:
        """Return the kind of request that is sent for rows of a kind; raises `Untranslatable`."""
        if model.publisher not in {"anthropic", "google"}:
            return self._others.sent_kind(kind)
        if kind in CONVERSATION_KINDS:
            return "messages" if model.publisher == "anthropic" else "generate_content"
        if kind in EMBEDDING_KINDS and model.publisher == "google":
            return "embed_content"
        raise Untranslatable("url", f"vertex does not support {KIND_NAMES[kind]} of {model.name}")

    def body(self, row: RequestRow) -> bytes:
        """Return the body of a conversation with a model of Anthropic or Google; raises `RequestError`."""
        model = vertex_model(row.model)
        if self.sent_kind(row.kind, model) == "messages":
            return msgspec.json.encode(_claude_fields(row))
        return self._gemini.body(structs.replace(row, model=model.name))

    def _call(self, model: VertexModel, row: RequestRow) -> tuple[str, bytes]:
        """Return the path below the location, and the body."""
        kind = self.sent_kind(row.kind, model)
        if kind == "chat_completions":
            return _OPENAI, self._others.body(structs.replace(row, model=f"{model.publisher}/{model.name}"))
        if kind == "embed_content":
            method, body = _embedding(row, model)
        else:
            method, body = "rawPredict" if kind == "messages" else "generateContent", self.body(row)
        return f"/{model.path}:{method}", body


def _embedding(row: RequestRow, model: VertexModel) -> tuple[str, bytes]:
    try:
        return embedding_call(row, model.name)
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error


def _claude_fields(row: RequestRow) -> dict[str, Raw]:
    """Return the fields of a request as Claude takes them on Vertex: without the model, with a version."""
    is_newer = row.kind != "messages" or row.headers.get("anthropic-version") == TRANSLATED_VERSION
    if row.kind == "messages":
        fields = fields_without_model(row)
    else:
        fields = _FIELDS.decode(translate_request(row.params, kind=row.kind, to="messages", model=row.model))
        del fields["model"]
    fields.pop("stream", None)  # false, as anything else has been rejected
    version = TRANSLATED_VERSION if is_newer else CLAUDE_VERSION
    return {"anthropic_version": Raw(msgspec.json.encode(version))} | fields
