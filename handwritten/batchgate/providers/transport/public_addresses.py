"""Keeps calls to URLs from outside away from this machine and its network.

The address that was checked is the one that is connected to: a name is resolved once. Proxies of the environment are
not used, since they resolve names themselves.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

AddressCheck: TypeAlias = Callable[[str], bool]
"""Returns whether an IP address may be connected to."""

RESOLVING_THREADS: Final = 64
"""Threads that resolve names: more than calls are made at once, since a name server may take longer than a call."""
MAX_NAME: Final = 253
"""Characters that a host name may have; the dot at its end is not one of them."""
_LABEL: Final = re.compile("(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_UNICAST: Final = IPv6Network("2000::/3")
"""Where the public addresses of IPv6 are; those beyond it lead to IPv4 or into the own network."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, and hides no other one."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and (found.sixtofour or found.teredo or found not in _UNICAST):
        return False
    return found.is_global and not found.is_multicast


def is_allowed_url(url: str, scheme: str, is_allowed: AddressCheck) -> bool:
    """Return False for another scheme, credentials, a name nobody can have, and an address that is not allowed.

    The host is read as the client reads it: other characters may stand for the digits and dots of an address.
    """
    try:
        parts = URL(url)
    except ValueError:
        return False
    host, is_plain = parts.raw_host or "", "@" not in parts.raw_authority
    is_number = host.replace(".", "").isdigit() or ":" in host
    return parts.scheme == scheme and is_plain and (is_allowed(host) if is_number else _is_name(host))


def _is_name(host: str) -> bool:
    """Return whether a resolver would look up a name; underscores are no part of host names, but resolved."""
    name = host.removesuffix(".")
    return len(name) <= MAX_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def guarded_connector(is_allowed: AddressCheck) -> aiohttp.TCPConnector:
    """Return a connector that connects a name only to allowed addresses; numbers are checked by `is_allowed_url`."""
    return aiohttp.TCPConnector(
        limit=0,
        limit_per_host=0,
        force_close=True,
        ssl=ssl.create_default_context(),
        resolver=_GuardedResolver(is_allowed),
        use_dns_cache=False,
    )


class NoAllowedAddressError(OSError):
    """A name has no address that may be connected to."""


class _GuardedResolver(AbstractResolver):
    """Resolves names, and leaves out the addresses that are not allowed.

    It has threads of its own: callers choose the names, and slow name servers would hold the threads of the event loop,
    which everything else needs.
    """

    def __init__(self, is_allowed: AddressCheck) -> None:
        self._threads = ThreadPoolExecutor(RESOLVING_THREADS, thread_name_prefix="resolver")
        self._is_allowed = is_allowed

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """Return the allowed addresses of a name; raises `NoAllowedAddressError` if it has none."""
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        allowed = [_result(host, *entry) for entry in found if self._is_allowed(str(entry[4][0]))]
        if not allowed:
            raise NoAllowedAddressError
        return allowed

    async def close(self) -> None:
        """Resolve no other name."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _result(host: str, family: int, _type: int, proto: int, _name: str, address: tuple[object, ...]) -> ResolveResult:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(
        hostname=host, host=str(address[0]), port=int(str(address[1])), family=family, proto=proto, flags=flags
    )
