"""The field ``url`` in the params of a request: callers of Bifrost's API name the endpoint of another provider there.

It is no field of Messages. The gateway translates the params for the provider anyway, so it leaves the field out.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.api.body_errors import BodyFault
from batchgate.engine.model.decoding_errors import DECODING_ERRORS

URLS: Final = ("/v1/messages", "/v1/chat/completions", "/v1/responses")
"""The endpoints to which params can be translated."""

_KEY: Final = b'"url"'
_WRONG_URL: Final = BodyFault(
    "url", f"it should be one of {', '.join(URLS)}; it is no field of Messages, so it may be left out"
)


class _Peek(Struct):
    url: Raw | UnsetType = UNSET


_PEEK: Final = msgspec.json.Decoder(_Peek)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])


def without_url(params: bytes) -> bytes | BodyFault:
    """Return params without their ``url``, or what is wrong with it; other params stay byte for byte."""
    if _KEY not in params:
        return params
    try:
        url = _PEEK.decode(params).url
        if url is UNSET:  # the key is in a nested object, such as the source of an image
            return params
        members = _MEMBERS.decode(params)
    except DECODING_ERRORS:  # nested too deeply: the request ends with an error
        return params
    if msgspec.json.decode(url) not in URLS:
        return _WRONG_URL
    return msgspec.json.encode({name: value for name, value in members.items() if name != "url"})
