"""Caches API keys for one second.

So most calls need no database read, and a key that is revoked at any gateway is refused by all within a second.
"""

from __future__ import annotations

import hmac
import logging
from typing import Final

from msgspec import Struct

from batchgate.engine.model.api_key import ApiKey
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.errors import StoreError
from batchgate.engine.ports.tenant_store import TenantStore

logger = logging.getLogger(__name__)

MAX_AGE: Final = MICROSECONDS
MAX_ENTRIES: Final = 10_000
"""The maximum number of cached hashes, of keys and of what is no key; callers can send any number of the latter."""
USE_WRITE_INTERVAL: Final = 60 * MICROSECONDS


class _Entry(Struct, frozen=True):
    key: ApiKey | None
    read_at: int


class ApiKeyCache:
    """Finds valid API keys, and records when they were last used."""

    def __init__(self, store: TenantStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._entries: dict[bytes, _Entry] = {}
        self._unknown: dict[bytes, _Entry] = {}
        """Hashes of what is no key, apart: however many there are, they displace no key."""
        self._existing: set[bytes] = set()
        """The hashes of all keys that were ever read."""
        self._uses: dict[str, int] = {}
        self._has_keys = False
        self._has_keys_read_at: int | None = None
        self._changes = 0
        """The number of invalidations; a read that started before the last one is not cached."""

    async def find(self, digest: bytes) -> ApiKey | None:
        """Return the presently valid key with this hash; raises `StoreError`."""
        now = self._clock.now()
        entry = self._entries.get(digest) or self._unknown.get(digest)
        if entry is None or not _is_fresh(entry.read_at, now):
            changes = self._changes
            entry = _Entry(await self._store.find_key_by_digest(digest), now)
            if changes == self._changes:
                self._add(digest, entry)
        key = entry.key
        if key is None or not hmac.compare_digest(key.digest, digest) or not key.is_valid_at(now):
            return None
        self._uses[key.id] = now
        return key

    def exists(self, digest: bytes) -> bool:
        """Check if this process has read the key with this hash before; the key may be invalid by now."""
        return digest in self._existing

    async def has_keys(self) -> bool:
        """Check whether a key was ever created; once True, the result stays True.

        Returns the last result while the database does not answer; raises `StoreError` if there is none.
        """
        if self._has_keys:
            return True
        now = self._clock.now()
        if self._has_keys_read_at is not None and _is_fresh(self._has_keys_read_at, now):
            return False
        try:
            found = await self._store.has_keys()
        except StoreError as error:
            if self._has_keys_read_at is None:
                raise
            logger.warning("cannot check for API keys: %s", error, extra={"action": "key_lookup_failed"})
            found = False
        self._has_keys = self._has_keys or found
        self._has_keys_read_at = now
        return self._has_keys

    def invalidate(self) -> None:
        """Drop all entries, because this process has changed a key; so there is at least one key."""
        self._changes += 1
        self._entries.clear()
        self._unknown.clear()
        self._has_keys = True

    async def run(self) -> None:
        """Write the uses of keys once a minute until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now() + USE_WRITE_INTERVAL)
            await self.write_uses()

    async def write_uses(self) -> None:
        """Write the uses since the last time; after a failure they are written the next time."""
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await self._store.record_key_use(uses)
        except StoreError as error:
            self._uses = uses | self._uses
            logger.warning("uses of API keys not written: %s", error, extra={"action": "key_usage_write_failed"})

    def _add(self, digest: bytes, entry: _Entry) -> None:
        entries, others = (self._unknown, self._entries) if entry.key is None else (self._entries, self._unknown)
        if len(entries) >= MAX_ENTRIES:
            entries.clear()
        others.pop(digest, None)
        entries[digest] = entry
        if entry.key is not None:
            self._existing.add(digest)


def _is_fresh(read_at: int, now: int) -> bool:
    """Check the age of an entry; an entry from the future is stale, since the clock was set back."""
    return 0 <= now - read_at < MAX_AGE
