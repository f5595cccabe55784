"""The client of xAI's batches from a file: a job has counters instead of a state, and pages of results.

Sources: the live runs that github.com/OpenRouterTeam/docs describes (docs/batch-research); xAI's SDK speaks gRPC.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, UpstreamResponse
from batchgate.engine.ports.provider_batches import JobOutcome, LaneLimits, NativeResult, ResultGroups, UpstreamJob
from batchgate.providers.batches.api_calls import ApiCalls
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.batches.job_errors import retrying_passing_refusals, uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import count_of, fault_of
from batchgate.providers.batches.openai_results import result_of_error
from batchgate.providers.batches.request_bodies import MultipartFile
from batchgate.providers.batches.result_reader import read_rows
from batchgate.providers.batches.row_lane import RowLane
from batchgate.providers.handlers.openai import OpenAIHandler

_FILE_LIFE: Final = 14 * 24 * 3600
"""Seconds after which xAI removes an input file: storage is charged for."""
_PAGE: Final = 100
_MAX_PAGES: Final = 5000
_SETTLING: Final = 30.0
"""Seconds between the polls of a canceled job, whose counters may still turn from canceled to succeeded."""
_CANCELED: Final = "Batch cancelled"
"""The error of a request that did not run."""


class _File(Struct, frozen=True):
    id: str


class _Batch(Struct, frozen=True):
    batch_id: str
    name: str | None = None
    state: object = None
    cancel_time: object = None
    cancel_by_xai_message: object = None

    def count(self, name: str) -> int:
        return count_of(self.state.get(f"num_{name}")) if isinstance(self.state, dict) else 0


class _BatchPage(Struct, frozen=True):
    batches: list[_Batch]
    pagination_token: str | None = None


class _Answer(Struct, frozen=True):
    chat_get_completion: Raw | UnsetType = UNSET


class _Outcome(Struct, frozen=True):
    response: _Answer | None = None
    error: object = None


class _Row(Struct, frozen=True):
    batch_request_id: str
    batch_result: _Outcome


class _RowPage(Struct, frozen=True):
    results: list[_Row]
    pagination_token: str | None = None


_PageT = TypeVar("_PageT", _BatchPage, _RowPage)


class XAIBatches(RowLane):
    """Implements `ProviderBatches`; ``handler`` is the handler of the live API. A job is found by its name."""

    name = "xai"
    limits = LaneLimits(
        max_requests=50_000,
        max_bytes=200_000_000,
        max_row_bytes=25_000_000,
        one_model=False,
    )
    endpoints = MappingProxyType({"chat_completions": "/v1/chat/completions"})
    rows_have_url = True

    def __init__(self, handler: OpenAIHandler, exchange: HttpExchange) -> None:
        super().__init__(handler)
        self._calls: Final = ApiCalls(exchange)

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Upload the rows as a file that expires."""
        form = MultipartFile([("expires_after", str(_FILE_LIFE))], f"batchgate-{job.token}.jsonl", rows)
        return (await self._calls.upload(account, f"{account.base_url}/files", form, _File, "a file")).id

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job from the uploaded file; ``rows`` are not read."""
        _ = rows
        body = msgspec.json.encode({"name": job.token, "input_file_id": uploaded_file(job)})
        with retrying_passing_refusals():
            created = await self._calls.post(account, f"{account.base_url}/batches", body, _Batch, "a batch")
        return _upstream_job(account, created)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that have the token as their name, in the order of the list."""
        url = f"{account.base_url}/batches"
        return [
            _upstream_job(account, batch)
            async for page in self._pages(account, url, _BatchPage, "a list of batches")
            for batch in page.batches
            if batch.name == job.token
        ]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        polled = await self._calls.find(account, _batch_url(account, upstream_id(job)), _Batch, "a batch")
        return None if polled is None else _upstream_job(account, polled)

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all results, sorted by their ids."""
        for handle in upstream.results:
            url = f"{_batch_url(account, handle)}/results"
            async for page in self._pages(account, url, _RowPage, "a page of results"):
                for group in read_rows(account, job, _result, page.results):
                    yield group

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask xAI to end a job; its answers are readable later than its counters say so."""
        url = f"{_batch_url(account, upstream_id(job))}:cancel"
        try:
            await self._calls.post(account, url, b"", _Batch, "a batch")
        except UpstreamError as error:
            polled = await self.poll(account, job) if error.status in {400, 403, 409, 412} else None
            if polled is None or polled.outcome == "running":
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the input file; a batch cannot be deleted."""
        _ = upstream
        if job.upstream_file is not None:
            await self._calls.delete(account, [f"{account.base_url}/files/{quote(job.upstream_file, safe='')}"])

    async def _pages(self, account: Account, url: str, kind: type[_PageT], name: str) -> AsyncGenerator[_PageT, None]:
        """Yield the pages of a list; raises `NoUpstreamAnswer` if it does not come to an end."""
        parameters = {"limit": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            page = await self._calls.get_results(account, f"{url}?{urlencode(parameters)}", kind, name)
            yield page
            token = page.pagination_token
            if not token or token == parameters.get("pagination_token"):
                return
            parameters["pagination_token"] = token
        message = f"The provider's {name} does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)


def _upstream_job(account: Account, batch: _Batch) -> UpstreamJob:
    """Return what a batch says; there is no word for its state, so the word is ours.

    Results are readable at any time, whatever the counters say. Those of a canceled batch may turn: it has settled when
    none is canceled, or when it was polled for a while.
    """
    status, outcome = _state(batch)
    fault = fault_of(account, batch.cancel_by_xai_message)
    settles = outcome in {"canceled", "expired"} and batch.count("cancelled") > 0
    return UpstreamJob(
        id=batch.batch_id,
        status=status,
        outcome=outcome,
        results=(batch.batch_id,),
        awaits_results=settles,
        faults=() if fault is None else (fault,),
        retry_after=_SETTLING if settles else None,
    )


def _state(batch: _Batch) -> tuple[str, JobOutcome]:
    if batch.cancel_by_xai_message:
        return "refused", "failed"
    if batch.count("pending") > 0:
        return "pending", "running"
    if batch.cancel_time:
        return "cancelled", "canceled"
    if batch.count("requests") == 0:
        return "reading the file", "running"
    if batch.count("cancelled") > 0:
        return "expired", "expired"  # nobody canceled it
    return "completed", "completed"


def _result(row: _Row) -> NativeResult:
    answer = row.batch_result.response
    if answer is not None and answer.chat_get_completion is not UNSET:
        response = UpstreamResponse(status=200, headers={}, body=bytes(answer.chat_get_completion))
        return NativeResult(row_id=row.batch_request_id, response=response)
    if row.batch_result.error == _CANCELED:
        return NativeResult(row_id=row.batch_request_id, response=None, unfinished="canceled")
    return result_of_error(row.batch_request_id, row.batch_result.error)


def _batch_url(account: Account, batch_id: str) -> str:
    return f"{account.base_url}/batches/{quote(batch_id, safe='')}"
