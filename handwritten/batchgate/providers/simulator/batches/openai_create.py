"""Reads and checks a create of the OpenAI-shaped batches API (native-lanes 2.1, 2.8, 2.14, 10.3)."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from batchgate.providers.simulator.batches.calls import BatchCall, read_json
from batchgate.providers.simulator.batches.openai_errors import invalid
from batchgate.providers.simulator.batches.openai_providers import OpenAIProvider
from batchgate.providers.simulator.batches.openai_uploads import MAX_EXPIRY, MIN_EXPIRY

HOURS: Final = {"h": 1, "d": 24}

Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class ExpiresAfter(Struct, frozen=True):
    """How long result files are kept."""

    seconds: Annotated[int, Meta(ge=MIN_EXPIRY, le=MAX_EXPIRY)]
    anchor: str = "created_at"


class CreateBatch(Struct, frozen=True):
    """The body of a create."""

    input_file_id: str
    endpoint: str
    completion_window: str | None = None
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


_DECODER: Final = msgspec.json.Decoder(CreateBatch)


async def read_create(call: BatchCall, provider: OpenAIProvider) -> CreateBatch:
    """Decode the body and check what the provider checks at once."""
    create = await read_json(call.request, _DECODER)
    status = 422 if provider.envelope == "detail" else 400
    if full_endpoint(create.endpoint, provider) not in provider.endpoints:
        raise invalid(f"endpoint: {create.endpoint!r} is not supported", "endpoint", status=status)
    if create.completion_window is None and provider.window_required:
        raise invalid("Missing required parameter: 'completion_window'.", "completion_window", status=status)
    if window_hours(create.completion_window or "24h", provider) is None:
        message = f"completion_window: {create.completion_window!r} is not supported"
        raise invalid(message, "completion_window", status=status)
    if create.output_expires_after is not None and not provider.output_expires_after:
        raise invalid("output_expires_after is not supported", "output_expires_after")
    return create


def full_endpoint(endpoint: str, provider: OpenAIProvider) -> str:
    """Return an endpoint with its ``/v1``, which Azure leaves out (native-lanes 2.2)."""
    return f"/v1{endpoint}" if provider.endpoint_without_v1 and not endpoint.startswith("/v1/") else endpoint


def window_hours(window: str, provider: OpenAIProvider) -> int | None:
    """Return the hours of a completion window, or None if the provider does not accept it."""
    found = re.fullmatch(r"(\d{1,3})([hd])", window, re.ASCII)
    if found is None or (provider.windows is not None and window not in provider.windows):
        return None
    hours = int(found[1]) * HOURS[found[2]]
    return hours if 24 <= hours <= 7 * 24 else None
