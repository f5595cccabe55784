"""The settings that bound what one caller may take of a gateway: bytes, time, connections."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

MEMBER_BYTES: Final = 1024
"""Bytes of a compressed body, received or decoded, for each gzip member or zstd frame beyond the first."""


class HttpLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the HTTP server; each has a default that no honest client should notice."""

    compressed_member_bytes: Annotated[int, Meta(ge=1)] = MEMBER_BYTES
    """A compressed body may have 16 gzip members or zstd frames, and one more for each of these bytes of it."""
    head_timeout: Annotated[float, Meta(gt=0)] = 30.0
    """Seconds in which the whole head of a request must arrive."""
    keep_alive_timeout: Annotated[float, Meta(gt=0)] = 75.0
    """Seconds after which a connection without a further request is closed."""
    max_connections: Annotated[int, Meta(ge=1)] = 4096
    """Maximum connections of clients; fewer if the limit of open files has no room for them."""
    min_upload_rate: Annotated[int, Meta(ge=0)] = 1024
    """Bytes a second at which a body must arrive, over each minute of waiting for it; 0 for any pace."""
    max_uploads_per_key: Annotated[int, Meta(ge=1)] = 100
    """Maximum bodies of one API key that arrive at the same time."""
    download_stall_timeout: Annotated[float, Meta(gt=0)] = 60.0
    """Seconds in which a caller must read 64 KB of a download; then it is disconnected."""
    max_downloads_per_key: Annotated[int, Meta(ge=1)] = 100
    """Maximum downloads of one API key at the same time."""
    max_event_streams_per_key: Annotated[int, Meta(ge=1)] = 100
    """Maximum streams of events of one API key at the same time."""
