"""What the kernel holds for a connection: bounds it, and drops it."""

from __future__ import annotations

import asyncio
import struct
import sys
from contextlib import suppress
from socket import IPPROTO_TCP, SO_LINGER, SOL_SOCKET
from typing import Final

if sys.platform == "linux":
    from socket import TCP_NOTSENT_LOWAT

MAX_UNSENT: Final = 128 * 1024
"""Bytes of a response in the kernel that the client's window has no room for."""
_DROP_UNSENT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, on, for 0 seconds."""


def limit_unsent(transport: asyncio.BaseTransport) -> None:
    """Let the kernel hold only so much of a connection that has not been sent; what is on its way is not limited."""
    if sys.platform == "linux":
        _set_option(transport, IPPROTO_TCP, TCP_NOTSENT_LOWAT, MAX_UNSENT)


def reset_connection(transport: asyncio.WriteTransport) -> None:
    """Close a connection with a reset; after a normal close the kernel would keep unsent bytes for many minutes."""
    _set_option(transport, SOL_SOCKET, SO_LINGER, _DROP_UNSENT)
    transport.abort()


def _set_option(transport: asyncio.BaseTransport, level: int, option: int, value: int | bytes) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):  # it is closed already
            connection.setsockopt(level, option, value)
