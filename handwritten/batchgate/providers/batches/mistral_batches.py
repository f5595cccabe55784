"""The client of Mistral's batch jobs: a file of rows is uploaded, checked at once, and a job is made of it.

Sources: mistralai 3.7 (SDK) and the live runs that github.com/OpenRouterTeam/docs describes (docs/batch-research).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import JobFault, JobOutcome, LaneLimits, ResultGroups, UpstreamJob
from batchgate.providers.batches.api_calls import ApiCalls
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.batches.job_errors import retrying_passing_refusals, uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import MAX_STATUS, count_of, creation_of, fault_of, files_of, unix_seconds
from batchgate.providers.batches.lost_uploads import FilePage, input_name, lost_uploads
from batchgate.providers.batches.openai_results import read_result
from batchgate.providers.batches.request_bodies import MultipartFile
from batchgate.providers.batches.row_lane import RowLane
from batchgate.providers.handlers.openai import OpenAIHandler

_LABEL: Final = "batchgate_job"
_PAGE: Final = 100
_MAX_PAGES: Final = 500
_OUTCOMES: Final[Mapping[str, JobOutcome]] = {
    "SUCCESS": "completed",
    "FAILED": "failed",
    "TIMEOUT_EXCEEDED": "expired",
    "CANCELLED": "canceled",
}
"""The final states; any other word means that the job still runs."""


class _File(Struct, frozen=True):
    id: str


class _Job(Struct, frozen=True):
    id: str
    status: str
    output_file: str | None = None
    error_file: str | None = None
    errors: object = None
    metadata: object = None
    created_at: object = None
    succeeded_requests: object = None

    @property
    def token(self) -> object:
        return self.metadata.get(_LABEL) if isinstance(self.metadata, dict) else None


class _Page(Struct, frozen=True):
    data: list[_Job]


class MistralBatches(RowLane):
    """Implements `ProviderBatches`; ``handler`` is the handler of the live API.

    The model of the job answers all rows, whatever their bodies say, so a job has one model. Results do not expire.
    """

    name = "mistral"
    limits = LaneLimits(max_requests=100_000, max_bytes=512_000_000, max_row_bytes=512_000_000)
    endpoints = MappingProxyType({"chat_completions": "/v1/chat/completions", "embeddings": "/v1/embeddings"})

    def __init__(self, handler: OpenAIHandler, exchange: HttpExchange) -> None:
        super().__init__(handler)
        self._calls: Final = ApiCalls(exchange)

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Upload the rows as a file; the error for a row that Mistral refuses says where it is."""
        form = MultipartFile([("purpose", "batch")], input_name(job), rows)
        return (await self._calls.upload(account, f"{account.base_url}/files", form, _File, "a file")).id

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job from the uploaded file; ``rows`` are not read."""
        _ = rows
        body = {
            "input_files": [uploaded_file(job)],
            "endpoint": self.endpoints[job.kind],
            "model": job.model,
            "metadata": {_LABEL: job.token},
            "timeout_hours": self.limits.window // 3600,
        }
        url = f"{account.base_url}/batch/jobs"
        with retrying_passing_refusals():
            created = await self._calls.post(account, url, msgspec.json.encode(body), _Job, "a batch job")
        return _upstream_job(account, created)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that bear the token and are not older than the create call, the oldest first."""
        since = creation_of(job)
        found: list[_Job] = []
        async for page in self._pages(account):
            recent = [listed for listed in page if (unix_seconds(listed.created_at) or since) >= since]
            found += [listed for listed in recent if listed.token == job.token]
            if len(recent) < len(page):
                break  # the list begins with the newest one
        found.sort(key=lambda listed: unix_seconds(listed.created_at) or 0.0)
        return [_upstream_job(account, listed) for listed in {listed.id: listed for listed in found}.values()]

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
        """Ask Mistral to end a job; it may have answered every row nevertheless."""
        url = f"{_job_url(account, job)}/cancel"
        try:
            await self._calls.post(account, url, b"", _Job, "a batch job")
        except UpstreamError as error:
            polled = await self.poll(account, job) if error.status in {400, 409, 422} else None
            if polled is None or polled.outcome == "running":
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the files of a job, which would stay for ever."""
        for files in (files_of(job, upstream), await lost_uploads(job, self._file_pages(account, job))):
            await self._calls.delete(account, [_file_url(account, file) for file in files])

    async def _file_pages(self, account: Account, job: NativeJob) -> AsyncIterator[FilePage]:
        """Yield the pages of a search for the input files of a job."""
        for number in range(_MAX_PAGES):
            url = f"{account.base_url}/files?purpose=batch&search={input_name(job)}&page={number}&page_size={_PAGE}"
            page = await self._calls.get(account, url, FilePage, "a list of files")
            yield page
            if len(page.data) < _PAGE:
                return

    async def _pages(self, account: Account) -> AsyncIterator[list[_Job]]:
        """Yield the pages of the list of jobs, the newest first; a new job shifts them, so one may come twice."""
        for number in range(_MAX_PAGES):
            url = f"{account.base_url}/batch/jobs?page={number}&page_size={_PAGE}&order_by=-created"
            page = await self._calls.get(account, url, _Page, "a list of batch jobs")
            yield page.data
            if len(page.data) < _PAGE:
                return
        message = f"The provider's list of batch jobs does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)


def _upstream_job(account: Account, job: _Job) -> UpstreamJob:
    """Return what a batch job says.

    A job that has succeeded has a file whatever its counters say; a canceled one may have results too.
    """
    outcome = _OUTCOMES.get(job.status, "running")
    promised = outcome == "completed" or (outcome == "canceled" and count_of(job.succeeded_requests) > 0)
    return UpstreamJob(
        id=job.id,
        status=job.status[:MAX_STATUS],
        outcome=outcome,
        results=tuple(handle for handle in (job.output_file, job.error_file) if handle),
        awaits_results=promised and not (job.output_file or job.error_file),
        faults=tuple(_faults(account, job.errors)),
    )


def _faults(account: Account, errors: object) -> Iterator[JobFault]:
    """Read ``errors``: messages with the number of the rows that have them, also of a job that has succeeded."""
    for error in errors if isinstance(errors, list) else ():
        fault = fault_of(account, error.get("message")) if isinstance(error, dict) else None
        if fault is not None:
            yield fault


def _job_url(account: Account, job: NativeJob) -> str:
    return f"{account.base_url}/batch/jobs/{quote(upstream_id(job), safe='')}"


def _file_url(account: Account, file: str) -> str:
    return f"{account.base_url}/files/{quote(file, safe='')}"
