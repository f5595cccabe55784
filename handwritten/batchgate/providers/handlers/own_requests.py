"""Requests to a provider's own urls: they are sent as they are, and other kinds are refused by naming the urls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from batchgate.engine.model.batch_endpoint import own_endpoints
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.own_urls import own_endpoint_of
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind, UpstreamRequest
from batchgate.providers.dialects.translation import KIND_NAMES

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


def own_request(account: Account, row: RequestRow, headers: Mapping[str, str], **more: bool) -> UpstreamRequest:
    """Return the call for a request to one of the provider's own urls; its body stays byte for byte.

    Raises `RequestError` for a body that is no object.
    """
    if row.url is None or own_endpoint_of(row.url) is None:
        raise RequestError("invalid_request_error", f"url: {row.url!r} is no url of {account.provider}")
    try:
        _OBJECT.decode(row.params)
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
    return json_request(account, row.url, headers, row.params, **more)


def json_request(
    account: Account, path: str, headers: Mapping[str, str], body: bytes, *, makes_file: bool = False
) -> UpstreamRequest:
    """Return a POST of JSON to a path of the provider."""
    return UpstreamRequest(
        url=account.base_url + path,
        headers={"content-type": "application/json", **headers},
        body=body,
        timeout=account.timeout,
        makes_file=makes_file,
    )


def bearer(account: Account) -> dict[str, str]:
    """Return the header with the key of an account; none for an account without a key."""
    return {"authorization": f"Bearer {account.api_key}"} if account.api_key else {}


def refuse_kind(provider: RowKind, kind: RowKind, *others: str) -> Untranslatable:
    """Return the refusal of a kind of request that a provider does not have; ``others`` are more urls that it has."""
    accepted = ", ".join((*own_endpoints(provider), *others))
    return Untranslatable("url", f"{provider} does not support {KIND_NAMES[kind]}; it accepts {accepted}")
