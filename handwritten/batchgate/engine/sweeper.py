"""What time does to batches and files: batches expire after a day, their results are archived after 29; files expire.

Whatever was left over, or not handed over, is found here as well, and whether storage is well again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress

from batchgate.engine.clock import DAY, Clock
from batchgate.engine.errors import BlobError, StoreError
from batchgate.engine.failpoints import hit
from batchgate.engine.loose_blobs import LooseBlobs
from batchgate.engine.ports import Store
from batchgate.engine.problems import Report
from batchgate.engine.storage_probe import StorageProbe

logger = logging.getLogger(__name__)

RETENTION = 29 * DAY
"""From the creation of a batch to the end of its results and of its input."""
INTERVAL = 1.0  # seconds between two looks when nothing falls due


class Sweeper:
    """Does what is due when it is due, and looks around once a second."""

    def __init__(
        self,
        *,
        store: Store,
        loose_blobs: LooseBlobs,
        probe: StorageProbe,
        clock: Clock,
        halt: Callable[[int], None],
        sealable: Callable[[int], None],
        validate: Callable[[int], None],
        report: Report,
    ) -> None:
        self._store = store
        self._loose_blobs = loose_blobs
        self._probe = probe
        self._clock = clock
        self._halt = halt
        self._sealable = sealable
        self._validate = validate
        self._report = report
        self._due: int | None = None

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            # By one time for all: what falls due meanwhile is due at once, and not passed over.
            now = self._clock.now()
            done = [await self._do(step, now) for step in self._steps()]
            # What is due and could not be done is not tried again at once.
            await self._wait_for(self._due if all(done) else None)

    def _steps(self) -> tuple[Callable[[int], Awaitable[None]], ...]:
        batches = (self._expire, self._hand_over, self._archive)
        return (*batches, self._expire_files, self._clean, self._look, self._look_ahead)

    async def _do(self, step: Callable[[int], Awaitable[None]], now: int) -> bool:
        """Take one step; if it fails, the others are taken all the same, and it is tried again with the next look."""
        try:
            await step(now)
        except (StoreError, BlobError) as error:
            self._report("sweeping", error, of=step.__name__)
        except Exception as error:
            logger.exception("sweeping failed in the gateway itself", extra={"action": "sweep_failed"})
            self._report("sweeping", error, of=step.__name__)
        else:
            self._report("sweeping", None, of=step.__name__)
            return True
        return False

    async def _expire(self, now: int) -> None:
        await _all(self._expire_one(key) for key in await self._store.overdue_batches(now))

    async def _expire_one(self, key: int) -> None:
        self._halt(key)
        await self._store.expire_batch(key)

    async def hand_over(self) -> None:
        """Hand the batches over that wait for their validation or their sealing."""
        for key in await self._store.validating_batches():
            self._validate(key)
        for key in await self._store.sealable_batches():
            self._sealable(key)

    async def _hand_over(self, _now: int) -> None:
        await self.hand_over()

    async def _archive(self, now: int) -> None:
        batches = await self._store.archivable_batches(now - RETENTION)
        await _all(self._archive_one(batch.key, now) for batch in batches)
        await self._store.drop_faults(now - RETENTION)

    async def _archive_one(self, key: int, now: int) -> None:
        await self._store.archive_batch(key, now)
        hit("batch_archived")

    async def _expire_files(self, now: int) -> None:
        await self._store.expire_files(now)

    async def _clean(self, _now: int) -> None:
        await self._loose_blobs.sweep()

    async def _look(self, _now: int) -> None:
        await self._probe.look()

    async def _look_ahead(self, now: int) -> None:
        self._due = await self._store.next_due(now, RETENTION)

    async def _wait_for(self, due: int | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await (asyncio.sleep(INTERVAL) if due is None else self._clock.until(due))


async def _all(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Do it side by side, which the store commits together; what fails is raised after all the rest is done."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
