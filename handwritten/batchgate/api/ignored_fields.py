"""Fields of a body that other gateways document and that have no effect here, such as the bucket of a provider.

They say where or under which name a provider would keep a job. Since the gateway calls providers and stores files
itself, to ignore them changes nothing in what runs. They are named in the header `Warning` of the response. All other
unknown fields are refused, because to ignore them might change what runs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from aiohttp import web

from batchgate.api.context import IGNORED, OPERATION

WARNING: Final = "Warning"
_TEXT: Final = '299 batchgate "ignored: {names}; the gateway calls providers and stores files itself"'


def note_ignored(request: web.Request, sent: Collection[str]) -> None:
    """Note which of the fields that were sent have no effect, for the response."""
    request[IGNORED] = [name for name in request[OPERATION].ignored if name in sent]


def sent_fields(body: msgspec.Struct) -> list[str]:
    """Return the wire names of the fields that a body has."""
    fields = msgspec.structs.fields(body)
    return [field.encode_name for field in fields if getattr(body, field.name) is not msgspec.UNSET]


def warning_headers(request: web.Request) -> dict[str, str]:
    """Return the header that names the ignored fields of a request, if there are any."""
    ignored = request.get(IGNORED)
    return {WARNING: _TEXT.format(names=", ".join(ignored))} if ignored else {}
