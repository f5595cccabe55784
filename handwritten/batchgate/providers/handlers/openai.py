"""The handler for OpenAI and compatible servers: rows of supported kinds are sent unchanged, others are translated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec import structs

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind, UpstreamRequest, UpstreamResponse
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.dialects.translation import (
    CONVERSATION_KINDS,
    EMBEDDING_KINDS,
    KIND_NAMES,
    translate_request,
)
from batchgate.providers.handlers.answers import decode_answer
from batchgate.providers.handlers.pass_through import unchanged_request

PATHS: Final[dict[RowKind, str]] = {
    "chat_completions": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "completions": "/completions",
}
"""The path for rows of each kind, below the ``base_url`` of an account."""


KeyHeader: TypeAlias = Literal["authorization", "api-key"]

_JSON_WEB_TOKEN: Final = "eyJ"  # noqa: S105 - the beginning of any token
"""The beginning of every JSON Web Token, which Azure takes as a bearer token only."""


def key_headers(account: Account, key_header: KeyHeader) -> dict[str, str]:
    """Return the header with the key of an account; none for an account without a key."""
    if not account.api_key:
        return {}
    if key_header == "api-key" and not account.api_key.startswith(_JSON_WEB_TOKEN):
        return {"api-key": account.api_key}
    return {"authorization": f"Bearer {account.api_key}"}


class OpenAIHandler:
    """Calls an OpenAI-compatible server at `PATHS` below the ``base_url`` of an account.

    ``now`` returns Unix seconds. The header ``anthropic-beta`` has no effect: fields of a beta are translated or
    rejected like any other.
    """

    def __init__(
        self,
        capabilities: ServerCapabilities,
        now: Callable[[], float] = time.time,
        *,
        key_header: KeyHeader = "authorization",
    ) -> None:
        self._capabilities = capabilities
        self._now = now
        self.key_header: Final = key_header

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names an invalid or untranslatable field."""
        deployment = account.deployment(row.model).direct if account.deployments else None
        deployed = row if deployment is None else structs.replace(row, model=deployment)
        body = self.body(deployed)
        headers = {"content-type": "application/json"} | key_headers(account, self.key_header)
        url = account.base_url + PATHS[self.sent_kind(row.kind)]
        return UpstreamRequest(url=url, headers=headers, body=body, timeout=account.timeout)

    def body(self, row: RequestRow) -> bytes:
        """Return the body of the call for a row whose model is the name of its deployment; raises as `encode` does."""
        if "anthropic-user-profile-id" in row.headers:
            raise Untranslatable("anthropic-user-profile-id", "only Anthropic has user profiles; leave the header out")
        kind = self.sent_kind(row.kind)
        if kind == row.kind:
            return unchanged_request(row)
        return translate_request(row.params, kind=row.kind, to=kind, model=row.model, target=self._capabilities)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer, of the row's kind."""
        return decode_answer(row, response, self.sent_kind(row.kind), self._now())

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of request that is sent for a row of ``kind``; raises `Untranslatable`."""
        if kind in self._capabilities.serves:
            return kind
        if kind in CONVERSATION_KINDS:
            return "chat_completions"
        if kind in EMBEDDING_KINDS and "embeddings" in self._capabilities.serves:
            return "embeddings"
        raise Untranslatable(
            "url", f"{self._capabilities.name} is not known to support {KIND_NAMES[kind]}; choose another provider"
        )
