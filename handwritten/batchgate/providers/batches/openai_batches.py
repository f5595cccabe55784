"""The client of batch APIs in the shape of OpenAI's: a file of requests is uploaded, and a job is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import structs

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow
from batchgate.engine.ports.provider_batches import ResultGroups, UpstreamJob
from batchgate.providers.batches.api_calls import ApiCalls
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.job_errors import if_found, retrying_passing_refusals, uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import creation_of, files_of
from batchgate.providers.batches.lost_uploads import FilePage, input_name, lost_uploads
from batchgate.providers.batches.openai_dialects import OpenAIDialect
from batchgate.providers.batches.openai_objects import BatchObject, BatchPage, FileObject, upstream_job
from batchgate.providers.batches.openai_results import read_result
from batchgate.providers.batches.provider_objects import read_object
from batchgate.providers.batches.request_bodies import MultipartFile
from batchgate.providers.batches.row_lane import RowLane
from batchgate.providers.handlers.openai import OpenAIHandler

_JOB_LABEL: Final = "batchgate_job"
_PAGE: Final = 100
_MAX_PAGES: Final = 500
_FILES: Final = 1000
_MAX_FILE_PAGES: Final = 100
_FILE_WAITS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0)
"""Seconds between the questions whether a file is processed."""
_FILE_PROCESSED: Final = frozenset({None, "processed", "uploaded"})
_FILE_FAILED: Final = frozenset({"error", "failed", "deleted"})


class OpenAIBatches(RowLane):
    """Implements `ProviderBatches` for one dialect; ``handler`` is the handler of the live API."""

    rows_have_url = True

    def __init__(
        self,
        dialect: OpenAIDialect,
        handler: OpenAIHandler,
        exchange: HttpExchange,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(handler)
        self.name, self.limits, self.endpoints = dialect.name, dialect.limits, dialect.endpoints
        self._dialect: Final = dialect
        self._exchange: Final = exchange
        self._calls: Final = ApiCalls(exchange, handler.key_header)
        self._sleep: Final = sleep

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as a line, for the deployment of its model; raises `RequestError`."""
        deployment = account.deployment(row.model).native if account.deployments else None
        deployed = row if deployment is None else structs.replace(row, model=deployment)
        return super().encode(account, deployed, identifier)

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Upload the rows as a file, wait until it can be used, and return its id."""
        fields = [("purpose", "batch")]
        if self._dialect.file_expiry is not None:
            seconds = str(self._dialect.file_expiry)
            fields += [("expires_after[seconds]", seconds), ("expires_after[anchor]", "created_at")]
        form = MultipartFile(fields, input_name(job), rows)
        file = await self._calls.upload(account, self._url(account, "/files"), form, FileObject, "a file")
        if self._dialect.pending_files:
            await self._wait_for_file(account, file)
        return file.id

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job from the uploaded file; ``rows`` are not read."""
        _ = rows
        headers = self._headers(account) | {"content-type": "application/json"}
        if self._dialect.idempotent:
            headers["idempotency-key"] = job.token
        body = {
            "input_file_id": uploaded_file(job),
            "endpoint": self._dialect.endpoints[job.kind],
            "completion_window": "24h",
            "metadata": {_JOB_LABEL: job.token},
        }
        url = self._url(account, "/batches")
        call = HttpCall(method="POST", url=url, headers=headers, body=msgspec.json.encode(body))
        with retrying_passing_refusals():
            return await self._job(account, call)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that bear the token and are not older than the create call, the oldest first."""
        since = creation_of(job)
        found: list[BatchObject] = []
        async for page in self._pages(account):
            found += [batch for batch in page if batch.token == job.token and not _is_before(batch, since)]
            if self._dialect.newest_first and page and _is_before(page[-1], since):
                break
        found.sort(key=lambda batch: batch.created or 0.0)
        return [upstream_job(account, self._dialect, batch) for batch in found]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        url = self._url(account, f"/batches/{_escaped(upstream_id(job))}")
        return await if_found(self._job(account, HttpCall(url=url, headers=self._headers(account))))

    def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Return all rows of all result files; a file that is missing raises after the rows of the others."""
        urls = [self._url(account, f"/files/{_escaped(handle)}/content") for handle in upstream.results]
        return self._calls.results(account, job, urls, read_result)

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask the provider to end a job; one that has ended, or that is asked already, is left as it is."""
        url = self._url(account, f"/batches/{_escaped(upstream_id(job))}/cancel")
        headers = self._headers(account) | {"content-type": "application/json"}
        try:
            await self._exchange.send(account, HttpCall(method="POST", url=url, headers=headers, body=b""))
        except UpstreamError as error:
            if error.status not in {400, 409} or not await self._is_ending(account, job):
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the files of a job: each is tried, and the first error is raised at the end."""
        for files in (files_of(job, upstream), await lost_uploads(job, self._file_pages(account))):
            await self._calls.delete(account, [self._url(account, f"/files/{_escaped(file)}") for file in files])

    async def _is_ending(self, account: Account, job: NativeJob) -> bool:
        upstream = await self.poll(account, job)
        return upstream is not None and (upstream.outcome != "running" or upstream.status.lower().startswith("cancel"))

    async def _job(self, account: Account, call: HttpCall) -> UpstreamJob:
        response = await self._exchange.send(account, call)
        batch = read_object(account, response, BatchObject, "a batch")
        return upstream_job(account, self._dialect, batch, response.headers)

    async def _wait_for_file(self, account: Account, file: FileObject) -> None:
        url = self._url(account, f"/files/{_escaped(file.id)}")
        for wait in _FILE_WAITS:
            if file.status in _FILE_PROCESSED:
                return
            if file.status in _FILE_FAILED:
                raise _unusable_file(f"is in the state {file.status!r}", retry_safe=False)
            await self._sleep(wait)
            file = await self._calls.get(account, url, FileObject, "a file")
        if file.status not in _FILE_PROCESSED:
            raise _unusable_file(f"is still in the state {file.status!r} after {sum(_FILE_WAITS):g} s", retry_safe=True)

    async def _pages(self, account: Account) -> AsyncIterator[list[BatchObject]]:
        """Yield the pages of the list of jobs; raises `NoUpstreamAnswer` if it does not come to an end."""
        seen: set[str] = set()
        parameters = {"limit": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            url = self._url(account, "/batches", **parameters)
            page = await self._calls.get(account, url, BatchPage, "a list of batches")
            yield page.data
            cursor = self._next(page)
            if cursor is None:
                return
            if cursor in seen:
                break
            seen.add(cursor)
            parameters[self._dialect.pages] = cursor
        message = f"The provider's list of batches does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)

    async def _file_pages(self, account: Account) -> AsyncIterator[FilePage]:
        """Yield the pages of the list of input files, the newest first where the provider sorts them."""
        parameters = {"purpose": "batch", "limit": str(_FILES)}
        for _ in range(_MAX_FILE_PAGES):
            page = await self._calls.get(
                account, self._url(account, "/files", **parameters), FilePage, "a list of files"
            )
            yield page
            if not page.has_more or not page.data or page.data[-1].id == parameters.get("after"):
                return
            parameters["after"] = page.data[-1].id

    def _next(self, page: BatchPage) -> str | None:
        if self._dialect.pages == "cursor":
            return (page.paging.next_cursor if page.paging is not None else None) or None
        return page.data[-1].id if page.has_more and page.data else None

    def _url(self, account: Account, path: str, **parameters: str) -> str:
        base = account.base_url
        for suffix in self._dialect.base_suffixes:
            if base.endswith(suffix):
                base = base.removesuffix(suffix)
                break
        query = "&".join(part for part in (self._dialect.query, urlencode(parameters)) if part)
        return f"{base}{self._dialect.root}{path}{'?' if query else ''}{query}"

    def _headers(self, account: Account) -> dict[str, str]:
        return self._calls.headers(account)


def _is_before(batch: BatchObject, since: float) -> bool:
    return batch.created is not None and batch.created < since


def _unusable_file(problem: str, *, retry_safe: bool) -> UpstreamError:
    return UpstreamError("api_error", f"The uploaded file {problem}.", status=200, retry_safe=retry_safe)


def _escaped(identifier: str) -> str:
    return quote(identifier, safe="")
