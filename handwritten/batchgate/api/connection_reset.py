"""Resets a connection, so that the kernel drops at once what the other side has not read."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

_DROP_UNSENT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, on, for 0 seconds."""


def reset_connection(transport: asyncio.BaseTransport) -> None:
    """Close a connection with a reset; after a normal close the kernel would keep unsent bytes for many minutes."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):  # it is closed already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
    assert isinstance(transport, asyncio.WriteTransport)
    transport.abort()
