"""Decodes objects that a batch API returns."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import Account, UpstreamResponse
from batchgate.providers.batches.secret_redaction import without_secrets
from batchgate.providers.responses.provider_errors import excerpt

T = TypeVar("T")


def read_object(account: Account, response: UpstreamResponse, kind: type[T], name: str) -> T:
    """Decode an object; raises `NoUpstreamAnswer` for a body that is none, so that a job may exist nevertheless."""
    try:
        return msgspec.json.decode(response.body, type=kind)
    except DECODING_ERRORS as error:
        shown = excerpt(without_secrets(account, response.body.decode(errors="replace")).encode())
        message = (
            f"The provider returned {response.status}, but the body is not {name} ({describe_decoding_error(error)}): "
            f"{shown}"
        )
        raise NoUpstreamAnswer("api_error", message, status=response.status, retry_safe=True) from error
