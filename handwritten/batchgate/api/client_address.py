"""The address of a caller: the peer of the connection, or what a trusted proxy says about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TypeAlias

from aiohttp import web

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(request: web.Request, trusted_proxies: Sequence[Network]) -> str:
    """Return the address of the caller; empty for a connection without one, such as a Unix socket.

    ``X-Forwarded-For`` is read from its end, as far as the addresses are those of trusted proxies: a caller can write
    anything at its beginning.
    """
    address = request.remote or ""
    for forwarded in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
        if not is_trusted(address, trusted_proxies) or not forwarded.strip():
            break
        address = forwarded.strip()
    return address


def is_trusted(address: str, trusted_proxies: Sequence[Network]) -> bool:
    """Check if an address belongs to a trusted proxy."""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(peer in network for network in trusted_proxies)
