"""A job in the hands of this process: every change is stored before the next step."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Collection
from typing import Literal

from msgspec import Struct, structs

from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.native_job import NativeJob, pack_set, unpack_set
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.support.cancellation import cancel_all, shielded
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)


class NativeServices(Struct, frozen=True, kw_only=True):
    """What jobs need."""

    store: Store
    blobs: Blobs
    queue: Queue
    router: Router
    executor: Executor
    clock: Clock
    rng: random.Random
    report: HealthReporter


class JobRecord:
    """The present state of a job."""

    def __init__(self, job: NativeJob, services: NativeServices) -> None:
        self.job = job
        self._services = services
        self._woken = asyncio.Event()

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

    def begin_step(self) -> None:
        """Forget earlier calls of `wake`: the step that begins reads the batch anew."""
        self._woken.clear()

    def wake(self) -> None:
        """End the present sleep, or the next one of the present step, which may have read the batch already."""
        self._woken.set()

    async def sleep(self, seconds: float) -> None:
        """Wait by the clock of the engine, or until `wake` was called in this step."""
        clock = self._services.clock
        until = clock.now() + round(seconds * MICROSECONDS)
        tasks = [asyncio.create_task(clock.sleep_until(until)), asyncio.create_task(self._wait_until_woken())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_all(tasks)

    async def _wait_until_woken(self) -> None:
        await self._woken.wait()

    def without(self, unfit: Collection[int]) -> dict[str, object]:
        """Return the changes of a job without requests that could not be encoded."""
        if not unfit:
            return {}
        seqs = [seq for seq in unpack_set(self.job.seqs) if seq not in unfit]
        return {"seqs": pack_set(seqs), "requests": len(seqs)}


def credential_of(account: Account) -> str:
    """Return a hash of the URL and the key of an account."""
    return hashlib.sha256(f"{account.base_url}\0{account.api_key}".encode()).hexdigest()[:32]
