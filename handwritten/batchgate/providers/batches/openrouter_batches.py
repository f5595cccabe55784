"""The client of OpenRouter's batches: the create call carries the requests, and the job carries its results.

Sources: openrouter 1.3 (SDK) and the live runs that github.com/OpenRouterTeam/docs describes (docs/batch-research).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode

from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import JobOutcome, LaneLimits, ResultGroups, UpstreamJob
from batchgate.providers.batches.api_calls import ApiCalls
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.job_errors import if_found, upstream_id
from batchgate.providers.batches.job_objects import MAX_STATUS, creation_of, fault_of, unix_seconds
from batchgate.providers.batches.openai_results import read_result
from batchgate.providers.batches.request_bodies import request_list
from batchgate.providers.batches.result_document import read_document
from batchgate.providers.batches.result_reader import read_rows
from batchgate.providers.batches.row_lane import RowLane
from batchgate.providers.handlers.openai import OpenAIHandler

_PAGE: Final = 100
_MAX_PAGES: Final = 100
_OUTCOMES: Final[Mapping[str, JobOutcome]] = {
    "completed": "completed",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "canceled",
}
"""The final states; any other word means that the job still runs."""


class _Batch(Struct, frozen=True):
    id: str
    status: str
    model: str | None = None
    created_at: object = None
    request_counts: object = None
    error: object = None
    results: Raw | UnsetType = UNSET

    @property
    def requests(self) -> object:
        """The number of its requests."""
        return self.request_counts.get("total") if isinstance(self.request_counts, dict) else None

    @property
    def has_results(self) -> bool:
        """Whether it shows results, which may be many megabytes."""
        return self.results is not UNSET and bytes(memoryview(self.results)[:1]) == b"["


class _Results(Struct, frozen=True):
    results: list[Raw] | None = None


class _BatchPage(Struct, frozen=True):
    data: list[_Batch]
    has_more: bool = False
    last_id: str | None = None


class OpenRouterBatches(RowLane):
    """Implements `ProviderBatches`; ``handler`` is the handler of the live API.

    A job cannot be canceled: it runs on, and is billed. It has no label: it is found by its time, model and size. Only
    a completed one has results.
    """

    name = "openrouter"
    limits = LaneLimits(max_requests=5_000, max_bytes=200_000_000, max_row_bytes=200_000_000, label="approximate")
    endpoints = MappingProxyType({"chat_completions": "/v1/chat/completions", "embeddings": "/v1/embeddings"})

    def __init__(self, handler: OpenAIHandler, exchange: HttpExchange) -> None:
        super().__init__(handler)
        self._exchange: Final = exchange
        self._calls: Final = ApiCalls(exchange)

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> None:
        """Do nothing: the create call carries the requests."""

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job with all rows, which stand last: OpenRouter reads the rest before them."""
        fields = {"endpoint": self.endpoints[job.kind], "model": job.model, "completion_window": "24h"}
        body = request_list(await anext(rows, None), rows, fields)
        created = await self._calls.post(account, f"{account.base_url}/batches", body, _Batch, "a batch")
        return _upstream_job(account, created)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that were made since the create call began, of its model and size.

        The list shows no results, so a completed one awaits them until it is polled.
        """
        since = creation_of(job)
        found: list[_Batch] = []
        async for page in self._pages(account):
            recent = [batch for batch in page if (unix_seconds(batch.created_at) or since) >= since]
            found += [batch for batch in recent if (batch.model, batch.requests) == (job.model, job.sent)]
            if len(recent) < len(page):
                break  # the list begins with the newest one
        found.sort(key=lambda batch: unix_seconds(batch.created_at) or 0.0)
        return [_upstream_job(account, batch) for batch in found]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        batch = await if_found(read_document(self._exchange, account, self._call(account, job), _Batch, "a batch"))
        return None if batch is None else _upstream_job(account, batch)

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all results of a completed job, which are in the job itself."""
        if not upstream.results:
            return
        batch = await read_document(self._exchange, account, self._call(account, job), _Results, "a batch")
        for group in read_rows(account, job, lambda row: read_result(bytes(row)), batch.results or ()):
            yield group

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Do nothing: OpenRouter has no such call."""

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the job with its requests and results; one that runs cannot be deleted."""
        _ = upstream
        if job.upstream_id is not None:
            await self._calls.delete(account, [_url(account, job)])

    def _call(self, account: Account, job: NativeJob) -> HttpCall:
        return HttpCall(url=_url(account, job), headers=self._calls.headers(account))

    async def _pages(self, account: Account) -> AsyncIterator[list[_Batch]]:
        """Yield the pages of the list of jobs, the newest first."""
        parameters = {"limit": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            url = f"{account.base_url}/batches?{urlencode(parameters)}"
            page = await self._calls.get(account, url, _BatchPage, "a list of batches")
            yield page.data
            if not (page.has_more and page.last_id) or page.last_id == parameters.get("after"):
                return
            parameters["after"] = page.last_id
        message = f"The provider's list of batches does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)


def _upstream_job(account: Account, batch: _Batch) -> UpstreamJob:
    outcome = _OUTCOMES.get(batch.status, "running")
    fault = fault_of(account, batch.error.get("message")) if isinstance(batch.error, dict) else None
    return UpstreamJob(
        id=batch.id,
        status=batch.status[:MAX_STATUS],
        outcome=outcome,
        results=(batch.id,) if outcome != "running" and batch.has_results else (),
        awaits_results=outcome == "completed" and not batch.has_results,
        faults=() if fault is None else (fault,),
    )


def _url(account: Account, job: NativeJob) -> str:
    return f"{account.base_url}/batches/{quote(upstream_id(job), safe='')}"
