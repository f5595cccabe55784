"""The handler for Cohere: chat runs by its OpenAI-compatible API, embeddings by its own; its own rows pass as they are.

Cohere documents the compatible API on api.cohere.ai; its own host api.cohere.com has it too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import (
    Account,
    EmbeddingInputType,
    RequestRow,
    RowKind,
    UpstreamRequest,
    UpstreamResponse,
)
from batchgate.providers.dialects.cohere_embeddings import embeddings_to_cohere
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.dialects.translation import EMBEDDING_KINDS, translate_request
from batchgate.providers.handlers.answers import decode_answer
from batchgate.providers.handlers.openai import OpenAIHandler, key_headers
from batchgate.providers.handlers.pass_through import unchanged_request

COMPATIBLE_PATH: Final = "/compatibility/v1"
"""The path of the OpenAI-compatible API, with which an account's ``base_url`` may end."""

PATHS: Final[dict[RowKind, str]] = {
    "chat_completions": f"{COMPATIBLE_PATH}/chat/completions",
    "cohere_chat": "/v2/chat",
    "cohere_embed": "/v2/embed",
}
"""The path for requests of each kind."""
_OWN_KINDS: Final[frozenset[RowKind]] = frozenset({"cohere_chat", "cohere_embed"})


def root_url(account: Account) -> str:
    """Return the URL that all paths of Cohere are below."""
    return account.base_url.removesuffix(COMPATIBLE_PATH)


class CohereHandler:
    """Calls Cohere below the ``base_url`` of an account; ``now`` returns Unix seconds."""

    def __init__(self, capabilities: ServerCapabilities, now: Callable[[], float] = time.time) -> None:
        self._chat = OpenAIHandler(capabilities, now)
        self._now = now

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names an invalid or untranslatable field."""
        if "anthropic-user-profile-id" in row.headers:
            raise Untranslatable("anthropic-user-profile-id", "only Anthropic has user profiles; leave the header out")
        return UpstreamRequest(
            url=root_url(account) + PATHS[self.sent_kind(row.kind)],
            headers={"content-type": "application/json"} | key_headers(account, "authorization"),
            body=self.body(row, account.embedding_input_type),
            timeout=account.timeout,
        )

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer, of the row's kind; a row that was sent as it is keeps its answer unchanged."""
        return decode_answer(row, response, self.sent_kind(row.kind), self._now())

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of request that is sent for a row of ``kind``; raises `Untranslatable`."""
        if kind in _OWN_KINDS:
            return kind
        return "cohere_embed" if kind in EMBEDDING_KINDS else self._chat.sent_kind(kind)

    def body(self, row: RequestRow, input_type: EmbeddingInputType) -> bytes:
        """Return the body of a call; embeddings in another format are for ``input_type``. Raises `RequestError`."""
        if row.kind in _OWN_KINDS:
            return unchanged_request(row)
        if row.kind not in EMBEDDING_KINDS:
            return self._chat.body(row)
        openai = translate_request(row.params, kind=row.kind, to="embeddings", model=row.model)
        try:
            return msgspec.json.encode(embeddings_to_cohere(openai, row.model, input_type))
        except DECODING_ERRORS as error:
            raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
