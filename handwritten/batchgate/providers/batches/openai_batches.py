"""The client of batch APIs in the shape of OpenAI's: a file of requests is uploaded, and a job is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import LaneLimits, NativeResult, UpstreamJob
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.job_errors import passing_refusal, upstream_id
from batchgate.providers.batches.openai_dialects import OpenAIDialect
from batchgate.providers.batches.openai_objects import BatchObject, BatchPage, FileObject, upstream_job
from batchgate.providers.batches.openai_results import read_result
from batchgate.providers.batches.provider_objects import read_object
from batchgate.providers.batches.refusals import refused_field
from batchgate.providers.batches.request_bodies import MultipartFile
from batchgate.providers.batches.result_reader import read_results
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.openai import PATHS, OpenAIHandler, key_headers

_JOB_LABEL: Final = "batchgate_job"
_PAGE: Final = 100
_MAX_PAGES: Final = 500
_CLOCK_DIFFERENCE: Final = 60.0
"""Seconds by which the provider's clock may be behind ours."""
_FILE_WAITS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0)
"""Seconds between the questions whether a file is processed."""
_FILE_PROCESSED: Final = frozenset({None, "processed", "uploaded"})
_FILE_FAILED: Final = frozenset({"error", "failed", "deleted"})


class OpenAIBatches:
    """Implements `ProviderBatches` for one dialect; ``handler`` is the handler of the live API."""

    def __init__(
        self,
        dialect: OpenAIDialect,
        handler: OpenAIHandler,
        exchange: HttpExchange,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._dialect: Final = dialect
        self._handler: Final = handler
        self._exchange: Final = exchange
        self._sleep: Final = sleep

    @property
    def limits(self) -> LaneLimits:
        """What one job may have."""
        return self._dialect.limits

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of the requests that are sent for rows of a kind; raises `RequestError` if there is none."""
        return self._handler.sent_kind(kind)

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively, with the name of the field; None if it can."""
        try:
            kind = self._handler.sent_kind(row.kind)
        except RequestError as error:
            return error.message
        if kind not in self._dialect.endpoints:
            return f"url: the batch API of {self._dialect.name} has no {PATHS[kind]}"
        return refused_field(self._dialect.name, row)

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as a line; its body is that of the live call. Raises `RequestError`."""
        request = self._handler.encode(account, row)
        line = {
            "custom_id": identifier,
            "method": "POST",
            "url": self._dialect.endpoints[self._handler.sent_kind(row.kind)],
            "body": msgspec.Raw(request.body),
        }
        return PlannedRow(row_id=identifier, line=to_single_line(msgspec.json.encode(line)))

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Upload the rows as a file, wait until it can be used, and return its id."""
        fields = [("purpose", "batch")]
        if self._dialect.file_expiry is not None:
            seconds = str(self._dialect.file_expiry)
            fields += [("expires_after[seconds]", seconds), ("expires_after[anchor]", "created_at")]
        form = MultipartFile(fields, f"batchgate-{job.token}.jsonl", rows)
        headers = self._headers(account) | {"content-type": form.content_type}
        call = HttpCall(method="POST", url=self._url(account, "/files"), headers=headers, body=form.blocks())
        response = await self._exchange.send(account, call)
        file = read_object(account, response, FileObject, "a file")
        if self._dialect.pending_files:
            await self._wait_for_file(account, file)
        return file.id

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job from the uploaded file; ``rows`` are not read."""
        _ = rows
        if job.upstream_file is None:
            raise RuntimeError(f"job {job.token} has no uploaded file")
        headers = self._headers(account) | {"content-type": "application/json"}
        if self._dialect.idempotent:
            headers["idempotency-key"] = job.token
        body = {
            "input_file_id": job.upstream_file,
            "endpoint": self._dialect.endpoints[job.kind],
            "completion_window": "24h",
            "metadata": {_JOB_LABEL: job.token},
        }
        url = self._url(account, "/batches")
        call = HttpCall(method="POST", url=url, headers=headers, body=msgspec.json.encode(body))
        try:
            return await self._job(account, call)
        except UpstreamError as error:
            if (passing := passing_refusal(error)) is not None:
                raise passing from error
            raise

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that bear the token, the oldest first."""
        since = (job.created_at if job.creating_at is None else job.creating_at) / 1e6 - _CLOCK_DIFFERENCE
        found: list[BatchObject] = []
        async for page in self._pages(account):
            found += [batch for batch in page if batch.token == job.token]
            if self._dialect.newest_first and page and _is_before(page[-1], since):
                break
        found.sort(key=lambda batch: batch.created or 0.0)
        return [upstream_job(account, self._dialect, batch) for batch in found]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        url = self._url(account, f"/batches/{_escaped(upstream_id(job))}")
        try:
            return await self._job(account, HttpCall(url=url, headers=self._headers(account)))
        except UpstreamError as error:
            if error.status == 404:
                return None
            raise

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> AsyncIterator[NativeResult]:
        """Yield all rows of all result files; a file that is missing raises after the rows of the others."""
        missing: UpstreamError | None = None
        for handle in upstream.results:
            call = HttpCall(
                url=self._url(account, f"/files/{_escaped(handle)}/content"), headers=self._headers(account)
            )
            try:
                async with aclosing(read_results(self._exchange, account, job, call, read_result)) as rows:
                    async for result in rows:
                        yield result
            except UpstreamError as error:
                if error.status != 404:
                    raise
                missing = error
        if missing is not None:
            raise missing

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
        files = (job.upstream_file, *(upstream.results if upstream is not None else ()))
        first: UpstreamError | None = None
        for file in files:
            if file is None:
                continue
            call = HttpCall(
                method="DELETE", url=self._url(account, f"/files/{_escaped(file)}"), headers=self._headers(account)
            )
            try:
                await self._exchange.send(account, call)
            except UpstreamError as error:
                first = first or (None if error.status == 404 else error)
        if first is not None:
            raise first

    async def _is_ending(self, account: Account, job: NativeJob) -> bool:
        upstream = await self.poll(account, job)
        return upstream is not None and (upstream.outcome != "running" or upstream.status.lower().startswith("cancel"))

    async def _job(self, account: Account, call: HttpCall) -> UpstreamJob:
        response = await self._exchange.send(account, call)
        batch = read_object(account, response, BatchObject, "a batch")
        return upstream_job(account, self._dialect, batch, response.headers)

    async def _wait_for_file(self, account: Account, file: FileObject) -> None:
        call = HttpCall(url=self._url(account, f"/files/{_escaped(file.id)}"), headers=self._headers(account))
        for wait in _FILE_WAITS:
            if file.status in _FILE_PROCESSED:
                return
            if file.status in _FILE_FAILED:
                raise _unusable_file(f"is in the state {file.status!r}", retry_safe=False)
            await self._sleep(wait)
            file = read_object(account, await self._exchange.send(account, call), FileObject, "a file")
        if file.status not in _FILE_PROCESSED:
            raise _unusable_file(f"is still in the state {file.status!r} after {sum(_FILE_WAITS):g} s", retry_safe=True)

    async def _pages(self, account: Account) -> AsyncIterator[list[BatchObject]]:
        """Yield the pages of the list of jobs; raises `NoUpstreamAnswer` if it does not come to an end."""
        seen: set[str] = set()
        parameters = {"limit": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            call = HttpCall(url=self._url(account, "/batches", **parameters), headers=self._headers(account))
            page = read_object(account, await self._exchange.send(account, call), BatchPage, "a list of batches")
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
        return key_headers(account, self._handler.key_header)


def _is_before(batch: BatchObject, since: float) -> bool:
    return batch.created is not None and batch.created < since


def _unusable_file(problem: str, *, retry_safe: bool) -> UpstreamError:
    return UpstreamError("api_error", f"The uploaded file {problem}.", status=200, retry_safe=retry_safe)


def _escaped(identifier: str) -> str:
    return quote(identifier, safe="")
