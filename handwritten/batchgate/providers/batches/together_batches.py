"""The client of Together's batches: a file of rows is uploaded, and nothing is checked before the job runs.

Sources: together 3.1 (SDK) and the live runs that github.com/OpenRouterTeam/docs describes (docs/batch-research).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import JobOutcome, LaneLimits, ResultGroups, UpstreamJob
from batchgate.providers.batches.api_calls import ApiCalls
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.batches.job_errors import uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import MAX_STATUS, creation_of, fault_of, files_of, unix_seconds
from batchgate.providers.batches.openai_results import read_result
from batchgate.providers.batches.request_bodies import MultipartFile
from batchgate.providers.batches.row_lane import RowLane
from batchgate.providers.handlers.openai import OpenAIHandler

_OUTCOMES: Final[Mapping[str, JobOutcome]] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "EXPIRED": "expired",
    "CANCELLED": "canceled",
}
"""The final states; any other word, such as the undocumented CANCELING, means that the job still runs."""
_POLL_DELAY: Final = 30.0
"""Seconds between polls: Together asks for 30 or more."""


class _File(Struct, frozen=True):
    id: str


class _Job(Struct, frozen=True):
    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    error: object = None
    created_at: object = None


class _Created(Struct, frozen=True):
    job: _Job


class TogetherBatches(RowLane):
    """Implements `ProviderBatches`; ``handler`` is the handler of the live API.

    A job has no label: it is found by its input file, which is used for it alone.
    """

    name = "together"
    limits = LaneLimits(max_requests=50_000, max_bytes=100_000_000, max_row_bytes=10_000_000)
    endpoints = MappingProxyType({"chat_completions": "/v1/chat/completions"})

    def __init__(self, handler: OpenAIHandler, exchange: HttpExchange) -> None:
        super().__init__(handler)
        self._calls: Final = ApiCalls(exchange)

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Upload the rows in one call, by the protocol for clients other than Together's SDKs."""
        filename = f"batchgate-{job.token}.jsonl"
        form = MultipartFile([("purpose", "batch-api"), ("file_name", filename)], filename, rows)
        return (await self._calls.upload(account, f"{account.base_url}/files/upload", form, _File, "a file")).id

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job from the uploaded file; ``rows`` are not read."""
        _ = rows
        body = {
            "input_file_id": uploaded_file(job),
            "endpoint": self.endpoints[job.kind],
            "completion_window": "24h",
        }
        url = f"{account.base_url}/batches"
        created = await self._calls.post(account, url, msgspec.json.encode(body), _Created, "a batch job")
        return _upstream_job(account, created.job)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream of the uploaded file that are not older than the create call, the oldest first."""
        listed = await self._calls.get(account, f"{account.base_url}/batches", list[_Job], "a list of batch jobs")
        file, since = uploaded_file(job), creation_of(job)
        found = [
            batch
            for batch in listed
            if batch.input_file_id == file and (unix_seconds(batch.created_at) or since) >= since
        ]
        found.sort(key=lambda batch: unix_seconds(batch.created_at) or 0.0)
        return [_upstream_job(account, batch) for batch in found]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        polled = await self._calls.find(account, _job_url(account, job), _Job, "a batch job")
        return None if polled is None else _upstream_job(account, polled)

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all rows of the output file and of the error file."""
        urls = [f"{_file_url(account, handle)}/content" for handle in upstream.results]
        async with aclosing(self._calls.results(account, job, urls, read_result)) as results:
            async for group in results:
                yield group

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask Together to end a job; the call is refused with 409 for one that has ended."""
        try:
            await self._calls.post(account, f"{_job_url(account, job)}/cancel", b"", _Job, "a batch job")
        except UpstreamError as error:
            if error.status != 409:
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the files of a job."""
        await self._calls.delete(account, [_file_url(account, file) for file in files_of(job, upstream)])


def _upstream_job(account: Account, job: _Job) -> UpstreamJob:
    """Return what a job says; it has no counters, and a file only if a row is in it."""
    outcome = _OUTCOMES.get(job.status, "running")
    results = tuple(handle for handle in (job.output_file_id, job.error_file_id) if handle)
    fault = fault_of(account, job.error)
    return UpstreamJob(
        id=job.id,
        status=job.status[:MAX_STATUS],
        outcome=outcome,
        results=results,
        awaits_results=outcome == "completed" and not results,
        faults=() if fault is None else (fault,),
        retry_after=_POLL_DELAY if outcome == "running" else None,
    )


def _job_url(account: Account, job: NativeJob) -> str:
    return f"{account.base_url}/batches/{quote(upstream_id(job), safe='')}"


def _file_url(account: Account, file: str) -> str:
    return f"{account.base_url}/files/{quote(file, safe='')}"
