"""Slows down callers that send wrong API keys, by address; good keys always get through.

A guess cannot succeed, but each one that looks like a key of the database is a query.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from batchgate.engine.model.errors import RefusedError

BURST: Final = 20
"""Wrong keys that an address may send at once before it is slowed down."""
REFILL: Final = 0.5
"""Wrong keys a second that an address may send for long."""
LOOKUP_INTERVAL = 0.05
"""Seconds between two look-ups of unknown keys for an address that is slowed down."""
MAX_WAITING: Final = 16
"""Look-ups that wait for their turn at one address; a call beyond them is refused without one."""
MAX_ADDRESSES: Final = 10_000
"""Addresses that are remembered; the one that was seen least recently is forgotten first."""
RETRY_AFTER: Final = "2"  # seconds


class _Address:
    """What an address may still do; ``allowance`` counts wrong keys."""

    __slots__ = ("allowance", "lookups", "seen_at", "waiting")

    def __init__(self, now: float) -> None:
        self.allowance = float(BURST)
        self.seen_at = now
        self.waiting = 0
        self.lookups = asyncio.Lock()

    def refill(self, now: float) -> None:
        self.allowance = min(float(BURST), self.allowance + (now - self.seen_at) * REFILL)
        self.seen_at = now


class WrongKeyBrake:
    """Counts wrong keys by address; ``now`` returns seconds of a monotonic clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    @asynccontextmanager
    async def lookup(self, address: str) -> AsyncIterator[None]:
        """Look up a key that is not known to be good: in turn, if its address is slowed down.

        Raises `RefusedError` if too many wait there already.
        """
        found = self._find(address)
        if found is None or found.allowance >= 1:
            yield
            return
        if found.waiting >= MAX_WAITING:
            raise too_many_wrong_keys()
        found.waiting += 1
        try:
            async with found.lookups:
                await asyncio.sleep(LOOKUP_INTERVAL)
                yield
        finally:
            found.waiting -= 1

    def record_wrong_key(self, address: str) -> bool:
        """Count a wrong key; return True if the address has sent too many."""
        found, now = self._find(address), self._now()
        if found is None:
            found = self._addresses[_network(address)] = _Address(now)
            if len(self._addresses) > MAX_ADDRESSES:
                self._addresses.popitem(last=False)
        if found.allowance < 1:
            return True
        found.allowance -= 1
        return False

    def _find(self, address: str) -> _Address | None:
        name = _network(address)
        found = self._addresses.get(name)
        if found is not None:
            self._addresses.move_to_end(name)
            found.refill(self._now())
        return found


def too_many_wrong_keys() -> RefusedError:
    """Return the refusal of a call without a good key from an address that sent too many wrong ones."""
    message = f"This address sent too many unknown API keys; try again in {RETRY_AFTER} seconds."
    return RefusedError("rate_limit_error", message, code="too_many_wrong_keys", headers={"Retry-After": RETRY_AFTER})


def _network(address: str) -> str:
    """Return what belongs to one caller: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
