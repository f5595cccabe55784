"""The scrub: reads stored result files and uploaded files slowly, and compares their sizes and SHA-256.

It finds damage before somebody needs the bytes, while a backup may still have them. It reports and deletes nothing. In
a cluster, one process does the rounds; every process looks again at the damaged blobs that it has found.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from typing import Final

from msgspec import structs

from batchgate.engine.model.clock import DAY, MICROSECONDS
from batchgate.engine.model.errors import BlobError, DamagedBlob, StoreError
from batchgate.engine.model.stored_blob import BLOB_KINDS, BlobOwner, ScrubState, StoredBlob
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.scrub_store import ScrubStore
from batchgate.engine.storage.damaged_blobs import DamagedBlobs
from batchgate.engine.storage.hashing_writer import THREAD_THRESHOLD
from batchgate.engine.support.health_problems import HealthReporter
from batchgate.engine.support.steady_clock import SteadyClock

logger = logging.getLogger(__name__)

COMPONENT = LEASE = "scrubbing"
ROUND_INTERVAL: Final = 7 * DAY
"""The least time from the beginning of a round to the beginning of the next one."""
START_DELAY: Final = 10.0  # seconds
IDLE_INTERVAL: Final = 60.0
"""Seconds until the next step if there is nothing to do, or if the storage failed."""
RECHECK_INTERVAL: Final = 300.0
"""Seconds from one look at the damaged blobs to the next."""
SAVE_INTERVAL: Final = 60 * MICROSECONDS
"""How often the state is stored, at most."""
PIECE: Final = 1024 * 1024
"""Bytes that are read at a time."""
MIN_COST: Final = 64 * 1024
"""The fewest bytes that a blob counts for: a small one takes a call to the storage and some to the database."""
RECHECK_RATE: Final = 1_000_000
"""Bytes a second if rounds are turned off."""


class Scrub:
    """Checks stored blobs, one after another, at a bounded rate."""

    def __init__(
        self,
        *,
        store: ScrubStore,
        blobs: Blobs,
        damaged: DamagedBlobs,
        clock: SteadyClock,
        cluster: Cluster,
        report: HealthReporter,
        bytes_per_second: int,
        does_rounds: bool,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._damaged = damaged
        self._clock = clock
        self._cluster = cluster
        self._report = report
        self._rate = bytes_per_second or RECHECK_RATE
        self._does_rounds = does_rounds and bytes_per_second > 0
        self._state: ScrubState | None = None
        """The state of the round; None while another process does the rounds."""
        self._stored: ScrubState | None = None
        """The state as it was stored last."""
        self._stored_at = 0
        self._rechecked_at = 0

    async def run(self) -> None:
        """Check until cancelled."""
        await self._clock.sleep(START_DELAY)
        while True:
            await self._clock.sleep(await self._step())

    async def _step(self) -> float:
        """Check some blobs; return the seconds until the next step."""
        try:
            seconds = await self._check_some()
        except StoreError as error:
            self._report(COMPONENT, error)
        except Exception as error:
            logger.exception("the scrub failed with an internal error", extra={"action": "scrub_failed"})
            self._report(COMPONENT, error)
        else:
            self._report(COMPONENT, None)
            return seconds
        return IDLE_INTERVAL

    async def _check_some(self) -> float:
        if not (self._does_rounds and await self._cluster.acquire_lease(LEASE)):
            self._state = None
        elif self._state is None:
            await self._load_state()
        await self._recheck()
        if self._state is None or self._damaged.is_full:
            return IDLE_INTERVAL
        seconds = await self._continue_round(self._state)
        await self._save_state()
        return seconds

    async def _load_state(self) -> None:
        """Go on where the last process stopped; what it knew to be damaged is looked at at once."""
        stored = await self._store.load_scrub_state()
        state = stored or ScrubState(kind=BLOB_KINDS[0], started_at=self._clock.now())
        await self._check_again(state.damaged)
        self._stored, self._state = stored, state

    async def _recheck(self) -> None:
        """Look again at the damaged blobs, now and then: they may have been restored or deleted."""
        now = self._clock.now()
        if 0 <= now - self._rechecked_at < RECHECK_INTERVAL * MICROSECONDS:
            return
        await self._check_again(self._damaged.owners)

    async def _check_again(self, owners: Iterable[BlobOwner]) -> None:
        for owner in owners:
            blob = await self._store.find_blob(owner)
            if blob is None:
                self._damaged.forget(owner)
            elif not await self._check(blob):
                break
        self._rechecked_at = self._clock.now()

    async def _continue_round(self, state: ScrubState) -> float:
        """Check the next blob, or begin the next round if it is time; return the seconds until the next step."""
        if state.kind is None:
            now = self._clock.now()
            if 0 <= now - state.started_at < ROUND_INTERVAL:
                return IDLE_INTERVAL
            state = ScrubState(kind=BLOB_KINDS[0], started_at=now)
        assert state.kind is not None
        blob = await self._store.next_blob(state.kind, state.after)
        if blob is None:
            self._state = self._with_next_kind(state)
            return 0.0
        readable = await self._check(blob)
        self._state = structs.replace(state, after=blob.owner.key, checked=state.checked + 1)
        return 0.0 if readable else IDLE_INTERVAL

    def _with_next_kind(self, state: ScrubState) -> ScrubState:
        assert state.kind is not None
        later = BLOB_KINDS[BLOB_KINDS.index(state.kind) + 1 :]
        if not later:
            message, fields = "the scrub has checked all %d stored files", {"action": "scrub_round_ended"}
            logger.info(message, state.checked, extra=fields)
        return structs.replace(state, kind=later[0] if later else None, after=0)

    async def _save_state(self) -> None:
        """Store the state if damage was found or is over, if a round has ended, and otherwise now and then."""
        assert self._state is not None
        state = structs.replace(self._state, damaged=self._damaged.owners)
        before, now = self._stored, self._clock.now()
        if before == state:
            return
        changed = before is None or (before.damaged, before.kind) != (state.damaged, state.kind)
        if changed or not 0 <= now - self._stored_at < SAVE_INTERVAL:
            await self._store.save_scrub_state(state)
            self._stored, self._stored_at = state, now

    async def _check(self, blob: StoredBlob) -> bool:
        """Check a blob and report the outcome; False if its storage did not let it be checked."""
        try:
            await self._verify(blob)
        except BlobError as error:
            await self._damaged.report(blob, error)
            return isinstance(error, DamagedBlob)
        self._damaged.forget(blob.owner)
        return True

    async def _verify(self, blob: StoredBlob) -> None:
        """Read a blob at the rate of the scrub; raises `DamagedBlob` if it is not what was written.

        One of an earlier version may have no SHA-256; then only its size is compared.
        """
        await self._wait_for(MIN_COST)
        size = (await self._blobs.find(blob.name)).size
        if blob.size is not None and size != blob.size:
            raise DamagedBlob(f"{blob.name}: damaged: {size} bytes, not {blob.size}")
        if not blob.sha256:
            return
        found = hashlib.sha256()
        for start in range(0, size, PIECE):
            length = min(PIECE, size - start)
            await self._wait_for(length if start else length - MIN_COST)
            data = await self._blobs.read_range(blob.name, start, length)
            if length < THREAD_THRESHOLD:
                found.update(data)
            else:
                await asyncio.to_thread(found.update, data)
        if found.digest() != blob.sha256:
            raise DamagedBlob(f"{blob.name}: damaged: its SHA-256 is not the one of what was written")

    async def _wait_for(self, size: int) -> None:
        """Wait for the time that reading so many bytes may take."""
        await self._clock.sleep(max(0, size) / self._rate)
