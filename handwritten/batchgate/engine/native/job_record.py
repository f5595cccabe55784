"""A job in the hands of this process: every change is stored before the next step."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final, Literal

from msgspec import Struct, structs

from batchgate.engine.dispatch.budget_check import BudgetCheck
from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.clock import ExpiryClock
from batchgate.engine.model.native_job import NativeJob, pack_set, unpack_set
from batchgate.engine.model.provider_call import Account
from batchgate.engine.native.replanned_job import replanned_job
from batchgate.engine.native.stop_reasons import MAY_BE_REPLANNED
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.support.cancellation import cancel_all, shielded
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter
from batchgate.engine.support.wakeable_sleep import WakeableSleep

LOOK_AGAIN: Final = 30.0
"""Seconds after which a job that the provider does not show is looked for again."""

LONGEST_SLEEP: Final = 300.0
"""Seconds after which a job looks at its batch again, whatever a provider asks for: it must be rescued in time."""


class NativeServices(Struct, frozen=True, kw_only=True):
    """What jobs need."""

    store: Store
    blobs: Blobs
    queue: Queue
    router: Router
    executor: Executor
    budgets: BudgetCheck
    clock: ExpiryClock
    rng: random.Random
    report: HealthReporter
    telemetry: Telemetry
    transfers: asyncio.Semaphore
    """Bounds the uploads and downloads at once, since each has the ids of a whole job in memory."""


class JobRecord:
    """The present state of a job."""

    def __init__(self, job: NativeJob, services: NativeServices) -> None:
        self.job = job
        self._services = services
        self._pause = WakeableSleep(services.clock)
        self.resubmit_at = 0
        """When a job may be submitted again that was refused."""
        self.refused: set[int] = set()
        """Requests that are not sent any more, since the provider refused the job for them."""
        self.refusal: str | None = None
        """Why, in words for people."""
        self.is_replanned = False
        """Whether another job got what this one left unanswered."""

    async def save(self, **changes: object) -> None:
        """Store changes; raises `StaleClaim` if another process has taken the job over."""
        changed = structs.replace(self.job, **changes)
        await shielded(self._services.store.save_job(changed))
        self.job = changed

    async def withdraw(self, stop: str, in_doubt: str | None = None) -> None:
        """End a job that is to stop before it was created, or nobody knows whether it was."""
        self.job = structs.replace(self.job, reason=stop, replans=stop in MAY_BE_REPLANNED)
        await self.end("withdrawn", "; ".join(filter(None, (stop, in_doubt))))

    async def end(self, state: Literal["done", "failed", "withdrawn"], reason: str | None) -> None:
        """End the job: what it has not answered may run directly from now on, or goes into another job."""
        was_sent = bool(self.job.credential)
        successor = await self.successor()
        now = self._services.clock.now()
        ended = structs.replace(self.job, state=state, reason=reason, ended_at=now, cleaned=not was_sent)
        queued = await shielded(self._services.store.end_job(ended, successor))
        self.job, self.is_replanned = ended, successor is not None
        hit_failpoint("native_ended")
        self._services.queue.enqueue(queued)

    async def successor(self) -> NativeJob | None:
        """Return the job that gets the requests without a result when this one ends, if there is to be one."""
        job, services = self.job, self._services
        if not job.replans:
            return None
        batch = await services.store.find_batch_by_key(job.batch_key)
        missing = frozenset(unpack_set(job.seqs)) - await services.store.finished_of(job)
        return replanned_job(job, missing, batch, services.router.endpoint(job.account), services.clock.now())

    async def give_up(self, state: Literal["failed", "withdrawn"], reason: str) -> None:
        """End a job that cannot be followed to its end, and count the results that were stored until now.

        It counts as canceled: what it answers later was asked for twice.
        """
        stored = frozenset[int]()
        if self.job.state == "collecting":
            stored = await self._services.store.finished_of(self.job)
        answered = len(stored.intersection(unpack_set(self.job.seqs)))
        canceled = self.job.cancel_requested_at or self._services.clock.now()
        self.job = structs.replace(self.job, answered=answered, cancel_requested_at=canceled)
        await self.end(state, reason)

    def wake(self) -> None:
        """End the present sleep, or the next one of the present step."""
        self._pause.wake()

    def begin_step(self) -> None:
        """Forget earlier calls of `wake`: the step that begins now sees what they were about."""
        self._pause.reset()

    async def sleep(self, seconds: float) -> None:
        """Wait by the clock of the engine, `LONGEST_SLEEP` at most; a `wake` since the step began ends it."""
        await self._pause.sleep(min(seconds, LONGEST_SLEEP))

    @asynccontextmanager
    async def transfer(self) -> AsyncIterator[bool]:
        """Hold a slot for an upload; yields False, without one, if a `wake` or `LONGEST_SLEEP` has ended the wait."""
        transfers = self._services.transfers
        slot, pause = asyncio.create_task(transfers.acquire()), asyncio.create_task(self.sleep(LONGEST_SLEEP))
        try:
            await asyncio.wait([slot, pause], return_when=asyncio.FIRST_COMPLETED)
            yield slot.done()
        finally:
            if slot.done():
                transfers.release()
            await cancel_all([slot, pause])

    def without(self, dropped: Collection[int]) -> dict[str, object]:
        """Return the changes of a job without some of its requests."""
        if not dropped:
            return {}
        seqs = [seq for seq in unpack_set(self.job.seqs) if seq not in dropped]
        return {"seqs": pack_set(seqs), "requests": len(seqs)}


def credential_of(account: Account) -> str:
    """Return a hash of the URL of an account and of its project, or else of its key."""
    owner = account.api_key if account.project is None else account.project
    return hashlib.sha256(f"{account.base_url}\0{owner}".encode()).hexdigest()[:32]
