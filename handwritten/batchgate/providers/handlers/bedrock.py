"""The handler for Amazon Bedrock: Messages rows for Claude run by InvokeModel, other conversations by Converse.

InvokeModel takes Claude's own format, so nothing of a Messages row is lost. Rows of both operations are sent as they
are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Raw
from yarl import URL

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind, UpstreamRequest, UpstreamResponse
from batchgate.providers.aws.credentials import AwsCredentials, read_credentials
from batchgate.providers.aws.sigv4 import signature_headers
from batchgate.providers.dialects.claude_models import is_claude
from batchgate.providers.dialects.translation import CONVERSATION_KINDS, KIND_NAMES, translate_request
from batchgate.providers.handlers.answers import decode_answer
from batchgate.providers.handlers.pass_through import fields_without_model

SERVICE: Final = "bedrock"
"""The service in signatures, for calls of models and of jobs alike."""
CLAUDE_VERSION: Final = "bedrock-2023-05-31"
"""The anthropic_version of bodies for Claude; Bedrock knows no other."""

_OPERATIONS: Final[dict[RowKind, str]] = {"converse": "converse", "messages": "invoke", "invoke_model": "invoke"}


class BedrockHandler:
    """Calls ``/model/MODEL/converse`` and ``/model/MODEL/invoke``; ``now`` returns Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names an invalid or untranslatable field."""
        kind = self.sent_kind(row.kind, row.model)
        headers, credentials = {"content-type": "application/json"}, read_credentials(account.api_key or "")
        if credentials is None and account.api_key:
            headers["authorization"] = f"Bearer {account.api_key}"
        return UpstreamRequest(
            url=f"{account.base_url}/model/{quote(row.model, safe=':')}/{_OPERATIONS[kind]}",
            headers=headers,
            body=self.body(row),
            timeout=account.timeout,
            sign=None if credentials is None else partial(self._signature, credentials, account.region or ""),
        )

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer, of the row's kind; a row that was sent as it is keeps its answer unchanged."""
        return decode_answer(row, response, self.sent_kind(row.kind, row.model), self._now())

    def sent_kind(self, kind: RowKind, model: str) -> RowKind:
        """Return the kind of request that is sent for rows of a kind; raises `Untranslatable`."""
        if kind == "messages" and is_claude(model):
            return "messages"
        if kind == "invoke_model":
            return "invoke_model"
        if kind in CONVERSATION_KINDS:
            return "converse"
        raise Untranslatable(
            "url", f"bedrock runs {KIND_NAMES[kind]} only by InvokeModel, in the model's own format; use its url"
        )

    def body(self, row: RequestRow) -> bytes:
        """Return the body for the row's model, which is not part of it; raises `RequestError`."""
        kind = self.sent_kind(row.kind, row.model)
        if kind == "messages":
            return msgspec.json.encode(_claude_fields(row))
        if kind == row.kind:
            return msgspec.json.encode(fields_without_model(row))
        return translate_request(row.params, kind=row.kind, to=kind, model=row.model)

    def _signature(self, credentials: AwsCredentials, region: str, request: UpstreamRequest) -> dict[str, str]:
        return signature_headers(
            credentials,
            method="POST",
            url=URL(request.url),  # as the transports write it
            headers=request.headers,
            body=request.body,
            region=region,
            service=SERVICE,
            now=self._now(),
        )


def _claude_fields(row: RequestRow) -> dict[str, Raw]:
    """Return the fields of a Messages row as InvokeModel takes them, with the betas of the create call."""
    if "anthropic-user-profile-id" in row.headers:
        raise Untranslatable("anthropic-user-profile-id", "only Anthropic has user profiles; leave the header out")
    fields = fields_without_model(row)
    fields.pop("stream", None)  # false, as anything else has been rejected
    betas = [beta.strip() for beta in row.headers.get("anthropic-beta", "").split(",") if beta.strip()]
    if betas:
        fields.setdefault("anthropic_beta", Raw(msgspec.json.encode(betas)))
    return {"anthropic_version": Raw(msgspec.json.encode(CLAUDE_VERSION))} | fields
