"""Watches a job that the provider has: polls it politely, cancels it, and takes it back if it was refused."""

from __future__ import annotations

from typing import Final

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.native.enqueued_tokens import EnqueuedTokens
from batchgate.engine.native.job_record import LOOK_AGAIN, JobRecord, NativeServices, credential_of
from batchgate.engine.native.refused_rows import RefusedRows
from batchgate.engine.native.stop_reasons import MAY_BE_REPLANNED
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob
from batchgate.engine.support.failpoints import hit_failpoint

FIRST_POLL: Final = 5.0  # seconds
LAST_POLL: Final = 300.0
POLL_GROWTH: Final = 1.5
MAX_GROWTH: Final = 20
"""Polls after which the delay grows no more; a power of many polls would be too large for a number."""
YOUNG: Final = 300 * MICROSECONDS
"""The age up to which a job that the provider does not know may still appear (native-lanes 1)."""
CANCEL_GRACE: Final = 600 * MICROSECONDS
"""How long the end of a canceled job is waited for."""
AWAITED_POLLS: Final = 6
"""Polls of a job that has ended but shows no results yet."""
MAX_REFUSALS: Final = 3
"""Refusals for the limit of enqueued tokens, with nothing else enqueued, after which the requests run directly."""
SEND_AGAIN: Final = 120 * MICROSECONDS
"""How long a job waits that is sent again without some of its rows."""
REFUSAL_DELAYS: Final = (300.0, 600.0, 1200.0, 2400.0, 3600.0)
"""Seconds before a job is submitted again after refusals, unless another one ends earlier."""


class JobWatch:
    """Watches one job."""

    def __init__(
        self, record: JobRecord, ledger: EnqueuedTokens, refused: RefusedRows, services: NativeServices
    ) -> None:
        self._record = record
        self._refused = refused
        self._ledger = ledger
        self._services = services
        self._polls = 0
        self._awaited = 0
        """Polls since the job has ended without showing all of its results."""
        self._is_canceled = False
        """Whether this process has asked the provider to cancel the job."""

    async def watch(
        self,
        batch: Batch,
        endpoint: AccountEndpoint,
        batches: ProviderBatches,
        stop: str | None,
    ) -> None:
        """Poll the job, and cancel it if it should stop."""
        if stop and self._record.job.cancel_requested_at is None:
            now = self._services.clock.now()
            await self._record.save(cancel_requested_at=now, reason=stop, replans=stop in MAY_BE_REPLANNED)
            self._polls = 0
        if self._record.job.cancel_requested_at is not None and not self._is_canceled:
            await self._cancel(endpoint, batches)
        upstream = await batches.poll(endpoint.account, self._record.job)
        hit_failpoint("native_polled")
        if upstream is None:
            await self.on_unknown(endpoint)
        elif upstream.limit_exceeded:
            await self._on_limit(upstream)
        elif upstream.outcome == "running" or (upstream.awaits_results and self._awaited < AWAITED_POLLS):
            await self._wait_for_poll(upstream)
        elif self._record.job.cancel_requested_at is not None or not await self._send_again(
            batch, endpoint, batches, upstream
        ):
            await self._record.save(state="collecting", upstream_status=upstream.status)

    async def _send_again(
        self, batch: Batch, endpoint: AccountEndpoint, batches: ProviderBatches, upstream: UpstreamJob
    ) -> bool:
        """Send a job again whose validation failed, without the rows that the provider names; False if it cannot be.

        It waits until no search for the new job can find the failed one, which has the same label.
        """
        rows = [fault.line for fault in upstream.faults if fault.line is not None]
        if upstream.outcome != "failed" or upstream.results or not rows or len(rows) < len(upstream.faults):
            return False
        await batches.discard(endpoint.account, self._record.job, upstream)
        fields = ("upstream_file", "upstream_id", "upstream_status", "creating_at", "submitted_at")
        again: dict[str, object] = {"state": "planned", **dict.fromkeys(fields)}
        message = upstream.faults[0].message
        if not await self._refused.take_out(batch, endpoint, batches, rows, message, **again):
            return False
        self._ledger.release(self._record.job.token)
        self._record.resubmit_at = self._services.clock.now() + SEND_AGAIN
        return True

    async def _cancel(self, endpoint: AccountEndpoint, batches: ProviderBatches) -> None:
        """Cancel the job; a process that takes it over asks once more, which changes nothing."""
        try:
            await batches.cancel(endpoint.account, self._record.job)
        except UpstreamError as error:
            if error.status != 404:  # else a poll tells what that means
                raise
        self._is_canceled = True
        hit_failpoint("native_canceling")

    async def on_unknown(self, endpoint: AccountEndpoint) -> None:
        """Wait for a job that is too new, or that other credentials have made; give up on one that is gone."""
        if not self._services.clock.has_passed((self._record.job.submitted_at or 0) + YOUNG):
            await self._record.sleep(LOOK_AGAIN)
        elif self._record.job.credential != credential_of(endpoint.account):
            job = self._record.job
            message = f"job {job.upstream_id} belongs to other credentials than account {job.account!r} has"
            raise UpstreamError("not_found_error", message, status=404, retry_safe=True, retry_after=LAST_POLL)
        else:
            await self._record.give_up("failed", "the provider no longer knows it")

    async def _on_limit(self, upstream: UpstreamJob) -> None:
        """Submit again when there is room, unless the job was to be canceled.

        Nothing was billed, and the uploaded file is still there.
        """
        self._ledger.refused(self._record.job.token, upstream.token_limit)
        if self._record.job.cancel_requested_at is not None:
            await self._record.end("failed", self._record.job.reason)
            return
        refusals = self._record.job.refusals + 1
        if refusals >= MAX_REFUSALS and self._ledger.is_empty:
            await self._record.end("failed", "the provider has no room for its tokens")
            return
        again: dict[str, object] = {"upstream_id": None, "creating_at": None, "submitted_at": None}
        await self._record.save(state="planned", refusals=refusals, **again)
        delay = REFUSAL_DELAYS[min(refusals, len(REFUSAL_DELAYS)) - 1]
        self._record.resubmit_at = self._services.clock.now() + round(delay * MICROSECONDS)

    async def _wait_for_poll(self, upstream: UpstreamJob) -> None:
        if upstream.status != self._record.job.upstream_status:
            await self._record.save(upstream_status=upstream.status)
        delay = max(poll_delay(self._polls) * self._services.rng.uniform(0.8, 1.2), upstream.retry_after or 0.0)
        canceled, clock = self._record.job.cancel_requested_at, self._services.clock
        if canceled is not None and clock.has_passed(canceled + CANCEL_GRACE):
            await self._record.save(state="collecting")
            return
        if canceled is not None:
            left = (canceled + CANCEL_GRACE - clock.now()) / MICROSECONDS
            delay = min(delay, max(left, FIRST_POLL))
        self._polls += 1
        self._awaited += upstream.awaits_results
        await self._record.sleep(delay)


def poll_delay(polls: int) -> float:
    """Return the seconds before the next poll, after so many before this one."""
    return min(LAST_POLL, FIRST_POLL * POLL_GROWTH ** min(polls, MAX_GROWTH))
