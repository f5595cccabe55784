"""The models of requests to a provider's own endpoints."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.batch_endpoint import KINDS
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.own_urls import own_endpoint_of, own_values


class _Named(Struct):
    """The fields that name a model: Runway's, ElevenLabs', and Replicate's version."""

    model: str | None = None
    model_id: str | None = None
    version: str | None = None


_NAMED: Final = msgspec.json.Decoder(_Named)
_NO_VERSION: Final = "body.version: Field required: the id of a version, or the name of a model"


def own_model(url: str, body: bytes) -> str:
    """Return the model of a request to a provider's own url: its limits, its metrics and its price go by this name.

    Where neither the url nor the body names one, it is the last part of the path that is no value. Raises
    `RequestError` for a body that is no object, or has a model that is no text.
    """
    endpoint = own_endpoint_of(url)
    if endpoint is None:
        raise RequestError("invalid_request_error", f"url: {url!r} is no url of a provider")
    try:
        named = _NAMED.decode(body)
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error).with_prefix("body"))) from error
    if KINDS[endpoint] == "replicate":
        found = "/".join(own_values(endpoint, url)) or named.version
        if not found:
            raise RequestError("invalid_request_error", _NO_VERSION)
        return found
    last = next(part for part in reversed(endpoint.split("/")) if not part.startswith("{"))
    return (named.model if KINDS[endpoint] == "runway" else named.model_id) or last
