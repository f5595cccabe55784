"""The keys of the database as a gateway knows them: what it has read is believed for a second.

So reads stay fast, and a key that is revoked, on whichever gateway, is refused everywhere within that second.
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
"""How many hashes are remembered: those that are no key's are among them, and come from callers."""
USE_WRITE_INTERVAL: Final = 60 * MICROSECONDS


class _Seen(Struct, frozen=True):
    key: ApiKey | None
    at: int


class ApiKeyCache:
    """Finds the keys of callers, and remembers when they were used."""

    def __init__(self, store: TenantStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: dict[bytes, _Seen] = {}
        self._used: dict[str, int] = {}
        self._any = False
        self._looked_at: int | None = None
        self._changes = 0
        """How often keys were changed here: what was read before the last time is not remembered after it."""

    async def find(self, digest: bytes) -> ApiKey | None:
        """Find the key with this hash that is good now; raises `StoreError`."""
        now = self._clock.now()
        seen = self._seen.get(digest)
        if seen is None or not _believed(seen.at, now):
            changes = self._changes
            seen = _Seen(await self._store.find_key_by_digest(digest), now)
            if changes == self._changes:
                self._remember(digest, seen)
        key = seen.key
        if key is None or not hmac.compare_digest(key.digest, digest) or not key.is_valid_at(now):
            return None
        self._used[key.id] = now
        return key

    async def has_keys(self) -> bool:
        """Tell if there are keys, or have been any: there is no way back to a gateway without.

        While the database does not answer, that is as it was.
        """
        now = self._clock.now()
        if self._any or (self._looked_at is not None and _believed(self._looked_at, now)):
            return self._any
        try:
            found = await self._store.has_keys()
        except StoreError as error:
            if self._looked_at is None:
                raise
            logger.warning("whether there are API keys is unknown: %s", error, extra={"action": "key_lookup_failed"})
            found = False
        self._any = self._any or found
        self._looked_at = now
        return self._any

    def invalidate(self) -> None:
        """Believe nothing that was read before, since keys have been changed here; so there are some."""
        self._changes += 1
        self._seen.clear()
        self._any = True

    async def run(self) -> None:
        """Note the uses of keys, some at a time, until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now() + USE_WRITE_INTERVAL)
            await self.write_uses()

    async def write_uses(self) -> None:
        """Note the uses since the last time; what cannot be stored is noted with the next ones."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._store.record_key_use(used)
        except StoreError as error:
            self._used = used | self._used
            logger.warning(
                "the uses of API keys are not noted yet: %s", error, extra={"action": "key_usage_write_failed"}
            )

    def _remember(self, digest: bytes, seen: _Seen) -> None:
        if len(self._seen) >= MAX_ENTRIES:
            self._seen.clear()
        self._seen[digest] = seen


def _believed(since: int, now: int) -> bool:
    """Tell if what was read is still believed; it is not after the clock was set back."""
    return 0 <= now - since < MAX_AGE
