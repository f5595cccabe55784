"""A job in the hands of this process: every change is stored before the next step."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Collection
from typing import Final, Literal

from msgspec import Struct, structs

from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.clock import MICROSECONDS, ExpiryClock
from batchgate.engine.model.native_job import NativeJob, pack_set, unpack_set
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.support.cancellation import cancel_all, shielded
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

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
        self._woken = asyncio.Event()
        self.resubmit_at = 0
        """When a job may be submitted again that was refused for its tokens."""

    async def save(self, **changes: object) -> None:
        """Store changes; raises `StaleClaim` if another process has taken the job over."""
        changed = structs.replace(self.job, **changes)
        await shielded(self._services.store.save_job(changed))
        self.job = changed

    async def end(self, state: Literal["done", "failed", "withdrawn"], reason: str | None) -> None:
        """End the job: what it has not answered may run directly from now on."""
        ended = structs.replace(self.job, state=state, reason=reason, ended_at=self._services.clock.now())
        queued = await shielded(self._services.store.end_job(ended))
        self.job = ended
        hit_failpoint("native_ended")
        self._services.queue.enqueue(queued)
        self._log_end()

    def _log_end(self) -> None:
        job = self.job
        fields = {"action": "native_job_ended", "account": job.account, "model": job.model}
        suffix = "" if job.reason is None else f" ({job.reason})"
        name = job.upstream_id or job.token
        message = "job %s is %s: %d of %d requests answered%s"
        logger.info(message, name, job.state, job.answered, job.requests, suffix, extra=fields)

    def wake(self) -> None:
        """End the present sleep, or the next one of the present step."""
        self._woken.set()

    def begin_step(self) -> None:
        """Forget earlier calls of `wake`: the step that begins now sees what they were about."""
        self._woken.clear()

    async def sleep(self, seconds: float) -> None:
        """Wait by the clock of the engine, `LONGEST_SLEEP` at most; a `wake` since the step began ends it."""
        clock = self._services.clock
        until = clock.now() + round(min(seconds, LONGEST_SLEEP) * MICROSECONDS)
        tasks = [asyncio.create_task(clock.sleep_until(until)), asyncio.create_task(self._wait_until_woken())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_all(tasks)

    async def _wait_until_woken(self) -> None:
        await self._woken.wait()

    def without(self, dropped: Collection[int]) -> dict[str, object]:
        """Return the changes of a job without some of its requests."""
        if not dropped:
            return {}
        seqs = [seq for seq in unpack_set(self.job.seqs) if seq not in dropped]
        return {"seqs": pack_set(seqs), "requests": len(seqs)}


def credential_of(account: Account) -> str:
    """Return a hash of the URL and the key of an account."""
    return hashlib.sha256(f"{account.base_url}\0{account.api_key}".encode()).hexdigest()[:32]
