"""Batches: the operations that the HTTP APIs call."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from msgspec import UNSET, structs

from batchgate.engine.intake.input_summary import InputSummary
from batchgate.engine.intake.input_writer import write_input
from batchgate.engine.lifecycle.early_quota_check import EarlyQuotaCheck
from batchgate.engine.model.batch import Batch, BatchFilters, BatchOptions, BatchPage, BatchSearchPage, NewBatch
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.completion_window import window_length
from batchgate.engine.model.errors import RefusedError, StoreError
from batchgate.engine.model.failure import FailureGroup
from batchgate.engine.model.file import File
from batchgate.engine.model.ids import new_id
from batchgate.engine.model.lane import LanePart
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.submission import Submission
from batchgate.engine.model.workspace import SMALLEST_BATCH
from batchgate.engine.ports.batch_signals import BatchSignals
from batchgate.engine.ports.body_readers import BodyReader
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.results.reusable_batch import check_reusable
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.storage.storage_probe import StorageProbe
from batchgate.engine.support.cancellation import shielded
from batchgate.engine.support.failpoints import hit_failpoint

SDK_RETRY_WINDOW = 10 * 60 * MICROSECONDS
"""The time after a create in which an equal create that an SDK marks as a retry returns the same batch."""
RETRY_AFTER = "5"  # seconds


class Batches:
    """Creates, finds, lists, cancels and deletes batches; callers never see batches of other workspaces."""

    def __init__(
        self,
        *,
        store: Store,
        early_quotas: EarlyQuotaCheck,
        orphan_blobs: OrphanBlobs,
        probe: StorageProbe,
        queue: Queue,
        clock: Clock,
        signals: BatchSignals,
        searchable_names: Callable[[Iterable[str]], tuple[str, ...]],
        needs_plan: Callable[[BatchOptions, Iterable[str] | None], bool],
        decided: Callable[[BatchOptions, Iterable[str] | None], BatchOptions],
        unplanned_lanes: Callable[[Batch], Sequence[LanePart]],
        check_webhook: Callable[[str, str], Awaitable[None]],
        account_without_price: Callable[[str, str], str | None],
        fail_fast: int,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._early_quotas = early_quotas
        self._orphan_blobs = orphan_blobs
        self._probe = probe
        self._queue = queue
        self._clock = clock
        self._signals = signals
        self._searchable_names = searchable_names
        self._needs_plan = needs_plan
        self._decided = decided
        self._unplanned_lanes = unplanned_lanes
        self._check_webhook_url = check_webhook
        self._account_without_price = account_without_price
        self._fail_fast = fail_fast
        self._telemetry = telemetry
        self._closed = False

    def close(self) -> None:
        """Refuse new creates from now on; creates in progress continue."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            message = "The gateway is shutting down and accepts no new batches; try again."
            raise RefusedError("overloaded_error", message, headers={"Retry-After": RETRY_AFTER})

    async def check_quotas(self, workspace: str) -> None:
        """Raise `QuotaExceeded` if a quota has no room for any further batch; `create` checks again, and decides."""
        await self._early_quotas.check(workspace, SMALLEST_BATCH)

    async def create(
        self,
        submission: Callable[[], Submission],
        body: AsyncIterator[bytes],
        reader: BodyReader,
        *,
        id_prefix: str = "batch",
    ) -> Batch:
        """Store a batch and enqueue its shards; raises `RefusedError`, and then stores nothing.

        ``submission`` is called after the body has been read, since the body may contain its fields. A create that
        repeats an earlier one, by its idempotency key or as an SDK's retry, returns that batch.
        """
        self._check_open()
        begun = time.perf_counter()
        with self._probe.reporting_errors():
            new, batch = await self._store_input(id_prefix, submission, body, reader)
        if batch.id != new.id:
            _check_same(batch, new)
            return batch
        self._telemetry.batch_created(batch, size=new.input_size, seconds=time.perf_counter() - begun)
        return batch

    async def _store_input(
        self, id_prefix: str, submission: Callable[[], Submission], body: AsyncIterator[bytes], reader: BodyReader
    ) -> tuple[NewBatch, Batch]:
        batch_id = new_id(id_prefix)
        name = f"batches/{batch_id}/input.jsonl"
        async with self._orphan_blobs.open_writer(batch_id, name) as writer:
            summary = InputSummary()
            shards = await write_input(body, reader, writer, summary)
            hit_failpoint("intake_spooled")
            new = self._new_batch(batch_id, submission(), summary.digest())
            prefixes = (*new.options.model_prefixes, *summary.model_prefixes)
            names = self._searchable_names((new.provider, *prefixes))
            model = summary.common_model(new.options.model)
            new = self._with_lane(new, names)
            new = structs.replace(
                new, input_blob=name, input_hash=summary.digest(), shards=shards, providers=names, model=model
            )
            await self._check_options(new)
            batch = await shielded(self._store_and_enqueue(new))
            if new.planned and batch.id == new.id:
                self._signals.plan(batch.key)
            return new, batch

    async def _check_options(self, new: NewBatch) -> None:
        """Refuse a webhook, budget or reuse that cannot be kept, unless the batch exists: what it needs may be gone."""
        options = new.options
        if options.webhook_url is None and options.first_budget is None and options.reused_batch is None:
            return
        if await self._store.find_repeated(new) is None:
            await self._check_webhook(new)
            self._check_price(new)
            await self._check_reuse(new)

    async def _check_reuse(self, new: NewBatch) -> None:
        """Raise `RefusedError` if the batch names one whose results it cannot reuse."""
        if (name := new.options.reused_batch) is not None:
            check_reusable(await self.find(new.workspace, name), new.dialect, new.options)

    def _check_price(self, new: NewBatch) -> None:
        """Refuse a budget that cannot be kept, as far as that is known: all requests have one model without a price."""
        if new.options.first_budget is None or new.model is None:
            return
        account = self._account_without_price(new.provider, new.model)
        if account is not None:
            raise unpriced_budget(account, new.model)

    def _with_lane(self, new: NewBatch, accounts: Iterable[str] | None) -> NewBatch:
        """Return a batch that keeps its lane, and whether that needs a plan, when the settings of accounts change."""
        options = self._decided(new.options, accounts)
        planned = options.reused_batch is not None or self._needs_plan(options, accounts)
        return structs.replace(new, options=options, planned=planned)

    async def _store_and_enqueue(self, new: NewBatch) -> Batch:
        batch, jobs = await self._store.create_batch(new)
        hit_failpoint("rows_written")
        self._queue.enqueue(jobs)
        return batch

    def _new_batch(self, batch_id: str, submission: Submission, digest: bytes) -> NewBatch:
        now, asked = self._clock.now(), submission.options.fail_fast
        return NewBatch(
            id=batch_id,
            workspace=submission.workspace,
            dialect=submission.dialect,
            options=submission.options,
            provider=submission.provider,
            providers=self._searchable_names((submission.provider, *submission.options.model_prefixes)),
            headers=submission.headers,
            created_at=now,
            expires_at=now + window_length(submission.options.completion_window),
            input_blob=None,
            caller=submission.caller,
            parent=None if submission.retry is None else submission.retry.parent,
            fingerprint=submission.fingerprint(digest),
            idempotency_key=submission.idempotency_key,
            deduplicate_since=now - SDK_RETRY_WINDOW if submission.is_retry else None,
            fail_fast=self._fail_fast if asked is UNSET else asked,
        )

    async def find_repeated(self, submission: Submission) -> Batch | None:
        """Return the batch that a retry of an earlier batch would return instead of a new one; None if it is new."""
        new = self._new_batch(new_id("batch"), submission, b"")
        batch = await self._store.find_repeated(new)
        if batch is not None:
            _check_same(batch, new)
        return batch

    async def create_from_file(self, submission: Submission) -> Batch:
        """Store a batch of the file ``submission.options.input_file``, and start its validation in the background.

        Raises `RefusedError` if there is no such file, or if it has another purpose.
        """
        self._check_open()
        new = self._new_batch(new_id("batch"), submission, b"")
        new = self._with_lane(new, None)
        if await self._store.find_repeated(new) is None:  # the file of a repeated create may be deleted by now
            await self.input_file(submission)
            await self._check_webhook(new)
            await self._check_reuse(new)
        with self._probe.reporting_errors():
            batch, _ = await shielded(self._store.create_batch(new))
        if batch.id != new.id:
            _check_same(batch, new)
            return batch
        hit_failpoint("file_submitted")
        self._signals.validate(batch.key)
        return batch

    async def _check_webhook(self, new: NewBatch) -> None:
        """Raise `RefusedError` if the batch names a URL for its events to which none can be sent."""
        if new.options.webhook_url is not None:
            await self._check_webhook_url(new.workspace, new.options.webhook_url)

    async def input_file(self, submission: Submission) -> File:
        """Return the file that a batch is to be made from; raises `RefusedError` if there is none for that."""
        file_id = submission.options.input_file or ""
        file = await self._store.find_file(submission.workspace, file_id, self._clock.now())
        if file is None:
            message = f"input_file_id: there is no file {file_id!r} in this workspace"
            raise RefusedError("invalid_request_error", message, param="input_file_id", code="file_not_found")
        if file.purpose != "batch":
            message = f"input_file_id: file {file_id!r} is for {file.purpose}; upload it with the purpose batch"
            raise RefusedError("invalid_request_error", message, param="input_file_id", code="invalid_file_purpose")
        return file

    async def preview(self, submission: Submission) -> NewBatch:
        """Return the batch that a create would store, without requests; raises `RefusedError` for webhook or reuse."""
        new = self._new_batch(new_id("batch"), submission, b"")
        await self._check_webhook(new)
        if new.options.reused_batch is not None:
            message = "reuse: an estimate reads no other batch; leave it out to see what all of the requests would need"
            raise RefusedError("invalid_request_error", message, param="reuse")
        return new

    async def find(self, workspace: str, batch_id: str, *, provider: str | None = None) -> Batch:
        """Return a batch, which must run on ``provider`` if given; raises `RefusedError` if there is none."""
        batch = require_batch(await self._store.find_batch(workspace, batch_id), batch_id)
        if provider is not None and provider not in batch.providers:
            message = f"Batch {batch_id!r} runs on {', '.join(batch.providers)}, not on {provider}."
            raise RefusedError("not_found_error", message, param="provider")
        return batch

    async def faults(self, batch: Batch) -> bytes | None:
        """Return all faults of the input file of a failed batch: `InputFault`s as a JSON array."""
        if batch.first_faults is None:
            return None
        return await self._store.find_faults(batch.key) or batch.first_faults

    async def lanes(self, batch: Batch) -> Sequence[LanePart]:
        """Return which lanes the requests of a batch take, and why; empty until that is decided, or decided anew."""
        if batch.awaits_plan and batch.lane_changes:
            return ()
        planned = await self._store.lanes_of(batch.key) if batch.options.may_have_jobs else ()
        return planned or self._unplanned_lanes(batch)

    async def jobs(self, batch: Batch) -> Sequence[NativeJob]:
        """Return the jobs of providers' batch APIs in which requests of a batch travel or have travelled."""
        return await self._store.jobs_of(batch.key) if batch.options.may_have_jobs else ()

    async def active_jobs(self, batches: Iterable[Batch]) -> Mapping[int, Sequence[NativeJob]]:
        """Return the active jobs of running batches, by the keys of the batches."""
        keys = [batch.key for batch in batches if batch.status == "in_progress" and batch.options.may_have_jobs]
        jobs: dict[int, list[NativeJob]] = {}
        for job in await self._store.active_jobs(keys) if keys else ():
            jobs.setdefault(job.batch_key, []).append(job)
        return jobs

    async def failures(self, batch: Batch) -> Sequence[FailureGroup]:
        """Return why requests of a batch did not succeed: the largest group first, the others of each kind last."""
        groups = await self._store.failures_of(batch.key)
        return sorted(groups, key=lambda group: (group.pattern is None, -group.count, group.kind, group.pattern or ""))

    async def list(
        self,
        workspace: str,
        *,
        after: str | None,
        before: str | None,
        provider: str | None,
        limit: int,
        after_name: str = "after_id",
        before_name: str = "before_id",
    ) -> BatchPage:
        """Return a page, newest first: right after ``after``, right before ``before``, or strictly between them.

        ``after`` and ``before`` are ids of batches, which may be deleted; raises `RefusedError` for unknown ids. Error
        messages call these parameters ``after_name`` and ``before_name``.
        """
        return await self._store.list_batches(
            workspace,
            older_than=await self._cursor(workspace, after_name, after),
            newer_than=await self._cursor(workspace, before_name, before),
            provider=provider,
            limit=limit,
        )

    async def search(self, workspace: str, filters: BatchFilters, *, after: str | None, limit: int) -> BatchSearchPage:
        """Return a page of the batches that match, newest first; raises `RefusedError` for an unknown ``after``."""
        key = await self._cursor(workspace, "after", after)
        return await self._store.search_batches(workspace, filters, after=key, limit=limit)

    async def cancel(self, workspace: str, batch_id: str) -> Batch:
        """Cancel a batch; one that is canceling or has ended is returned unchanged."""
        with self._probe.reporting_errors():
            canceled = await self._store.cancel_batch(workspace, batch_id, self._clock.now())
        batch = require_batch(canceled, batch_id)
        if batch.status == "canceling":
            self._signals.stop_sending(batch.key)
            with suppress(StoreError):  # the batch is canceled already, and the sweeper signals it later
                await self._finalize_done_batches()
        return batch

    async def delete(self, workspace: str, batch_id: str) -> None:
        """Delete an ended batch and its blobs; raises `RefusedError` for one that has not ended."""
        with self._probe.reporting_errors():
            deleted = await self._store.delete_batch(workspace, batch_id, self._clock.now())
        batch = require_batch(deleted, batch_id)
        if batch.ended_at is None:
            raise RefusedError(
                "invalid_request_error",
                f"Batch {batch_id!r} is {batch.status}; it can be deleted once it has ended. Cancel it first.",
            )
        hit_failpoint("batch_deleted")
        await self._orphan_blobs.remove(*batch.blobs)

    async def find_with_results(self, workspace: str, batch_id: str) -> Batch:
        """Return a batch that has a result file; raises `RefusedError` if it has none yet, or no longer."""
        batch = await self.find(workspace, batch_id)
        if batch.archived_at is not None:
            message = f"The results of batch {batch_id!r} are gone: its files were deleted or have expired."
            raise RefusedError("not_found_error", message)
        if batch.results_blob is None:
            raise RefusedError("not_found_error", _without_results(batch))
        return batch

    async def _finalize_done_batches(self) -> None:
        for key in await self._store.finalizable_batches():
            self._signals.finalize(key)

    async def _cursor(self, workspace: str, name: str, batch_id: str | None) -> int | None:
        if batch_id is None:
            return None
        key = await self._store.find_batch_cursor(workspace, batch_id)
        if key is None:
            message = f"{name}: there is no batch {batch_id!r} to page from"
            raise RefusedError("invalid_request_error", message, param=name)
        return key


def _check_same(batch: Batch, new: NewBatch) -> None:
    if batch.fingerprint != new.fingerprint:
        raise RefusedError(
            "invalid_request_error",
            f"Idempotency-Key: {new.idempotency_key!r} belongs to {batch.id}, which was created with other requests or "
            "headers; send the same ones, or another key",
            status=422,
        )


def _without_results(batch: Batch) -> str:
    if batch.status == "failed":
        where = f"GET /openai/v1/batches/{batch.id} lists the faults"
        return f"Batch {batch.id!r} failed: its input file has faults, so no request was sent; {where}."
    if batch.ended_at is not None:
        return f"Batch {batch.id!r} was canceled during the validation of its file, so it has no results."
    return f"Batch {batch.id!r} is {batch.status}; it has results once it has ended."


def require_batch(batch: Batch | None, batch_id: str) -> Batch:
    """Return a batch; raises `RefusedError` if there is none."""
    if batch is None:
        raise RefusedError("not_found_error", f"There is no batch {batch_id!r} in this workspace.", param="id")
    return batch


def unpriced_budget(account: str, model: str) -> RefusedError:
    """Return the error for a budget whose batch has only requests for a model without a price."""
    message = f"budget_usd: account {account!r} has no price for the model {model!r}, so nothing would count"
    return RefusedError("invalid_request_error", f"{message} in the budget; set prices", param="budget_usd")
