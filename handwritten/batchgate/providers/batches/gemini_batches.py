"""The client of Gemini's batch API: a file of requests is uploaded, and a job is made of it (native-lanes 2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw

from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import LaneLimits, ResultGroups, UpstreamJob
from batchgate.providers.batches.gemini_objects import (
    RESULT_FILES,
    GeminiFile,
    Operation,
    OperationPage,
    inline_rows,
    read_result,
    upstream_job,
)
from batchgate.providers.batches.gemini_requests import job_request, refusal
from batchgate.providers.batches.gemini_uploads import GeminiUpload
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange, Method
from batchgate.providers.batches.job_errors import if_found, uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import creation_of
from batchgate.providers.batches.provider_objects import read_object
from batchgate.providers.batches.result_reader import chain_results, read_results, read_rows
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.gemini import VERSION, GeminiHandler, key_headers, model_path

_PAGE: Final = 100
_MAX_PAGES: Final = 500
_METHODS: Final[dict[RowKind, str]] = {"embed_content": "asyncBatchEmbedContent"}
"""The method that creates a job for requests of a kind; it is batchGenerateContent for conversations."""
_FILE_WAITS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds between the questions whether a file can be used."""
_PROCESSING: Final = frozenset({"PROCESSING", "STATE_UNSPECIFIED"})
_FILE_BYTES: Final = 2_000_000_000


class GeminiBatches:
    """Implements `ProviderBatches`; ``handler`` is the handler of the live API."""

    def __init__(
        self,
        handler: GeminiHandler,
        exchange: HttpExchange,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._handler: Final = handler
        self._exchange: Final = exchange
        self._sleep: Final = sleep

    @property
    def limits(self) -> LaneLimits:
        """What one job may have; Google states no number of requests, so it is that of most others."""
        return LaneLimits(
            max_requests=50_000,
            max_bytes=_FILE_BYTES,
            max_row_bytes=_FILE_BYTES,
            unpublished=frozenset({"max_requests"}),
        )

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of the requests that are sent for rows of a kind; raises `RequestError` if there is none."""
        return self._handler.sent_kind(kind)

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively, with the name of the field; None if it can."""
        try:
            self._handler.sent_kind(row.kind)
        except RequestError as error:
            return error.message
        return refusal(self._handler, row)

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as a line; its body is that of the live call. Raises `RequestError`."""
        _ = account
        line = {"key": identifier, "request": Raw(job_request(self._handler, row))}
        return PlannedRow(row_id=identifier, line=to_single_line(msgspec.json.encode(line)))

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Upload the rows as a file, wait until it can be used, and return its name."""
        file = await GeminiUpload(self._exchange, account, job.token).send(rows)
        for wait in _FILE_WAITS:
            if file.state not in _PROCESSING:
                break
            await self._sleep(wait)
            response = await self._exchange.send(account, self._call(account, f"/{_escaped(file.name)}"))
            file = read_object(account, response, GeminiFile, "a file")
        if file.state not in {None, "ACTIVE"}:
            message = f"The uploaded file is in the state {file.state!r}."
            raise UpstreamError("api_error", message, status=200, retry_safe=file.state in _PROCESSING)
        return file.name

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job from the uploaded file; ``rows`` are not read."""
        _ = rows
        method = _METHODS.get(job.kind, "batchGenerateContent")
        batch = {"displayName": job.token, "inputConfig": {"fileName": uploaded_file(job)}}
        url = f"{account.base_url}{model_path(job.model)}:{method}"
        body = msgspec.json.encode({"batch": batch})
        return await self._job(account, HttpCall(method="POST", url=url, headers=_headers(account), body=body))

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that bear the token and are not older than the create call, the oldest first.

        The list has no known order.
        """
        since = creation_of(job)
        found: list[Operation] = []
        async for page in self._pages(account):
            ours = [operation for operation in page if operation.display_name == job.token]
            found += [operation for operation in ours if (operation.created or since) >= since]
        found.sort(key=lambda operation: operation.created)
        return [upstream_job(account, operation) for operation in found]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        return await if_found(self._job(account, self._call(account, f"/{_escaped(upstream_id(job))}")))

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all rows of all result files, and those that stand in the job."""
        parts = (self._results_of(account, job, handle) for handle in upstream.results)
        async with aclosing(chain_results(parts)) as results:
            async for group in results:
                yield group

    async def _results_of(self, account: Account, job: NativeJob, handle: str) -> ResultGroups:
        if handle.startswith(RESULT_FILES):
            url = f"{account.base_url}/download{VERSION}/{_escaped(handle)}:download?alt=media"
            call = HttpCall(url=url, headers=_headers(account))
            async with aclosing(read_results(self._exchange, account, job, call, read_result)) as rows:
                async for group in rows:
                    yield group
            return
        response = await self._exchange.send(account, self._call(account, f"/{_escaped(handle)}"))
        inline = inline_rows(read_object(account, response, Operation, "a batch"))
        for group in read_rows(account, job, read_result, inline):
            yield group

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask the provider to end a job; one that has ended is left as it is."""
        call = self._call(account, f"/{_escaped(upstream_id(job))}:cancel", method="POST", body=b"{}")
        try:
            await self._exchange.send(account, call)
        except UpstreamError as error:
            upstream = await self.poll(account, job) if error.status in {400, 409} else None
            if upstream is None or upstream.outcome == "running":
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the job, which deletes its results too, and its input file.

        A file that is gone is a 403, and a job that is gone a 404.
        """
        names = (upstream.id if upstream is not None else None, job.upstream_file)
        first: UpstreamError | None = None
        for name in names:
            if name is None:
                continue
            try:
                await self._exchange.send(account, self._call(account, f"/{_escaped(name)}", method="DELETE"))
            except UpstreamError as error:
                first = first or (None if error.status in {403, 404} else error)
        if first is not None:
            raise first

    async def _job(self, account: Account, call: HttpCall) -> UpstreamJob:
        response = await self._exchange.send(account, call)
        return upstream_job(account, read_object(account, response, Operation, "a batch"), response.headers)

    async def _pages(self, account: Account) -> AsyncIterator[list[Operation]]:
        """Yield the pages of the list of jobs; raises `NoUpstreamAnswer` if it does not come to an end."""
        seen: set[str] = set()
        parameters = {"pageSize": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            response = await self._exchange.send(account, self._call(account, f"/batches?{urlencode(parameters)}"))
            page = read_object(account, response, OperationPage, "a list of batches")
            yield page.operations
            token = page.nextPageToken
            if not token:
                return
            if token in seen:
                break
            seen.add(token)
            parameters["pageToken"] = token
        message = f"The provider's list of batches does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)

    @staticmethod
    def _call(account: Account, path: str, *, method: Method = "GET", body: bytes | None = None) -> HttpCall:
        url = f"{account.base_url}{VERSION}{path}"
        return HttpCall(method=method, url=url, headers=_headers(account), body=body)


def _headers(account: Account) -> dict[str, str]:
    return key_headers(account) | {"content-type": "application/json"}


def _escaped(name: str) -> str:
    """Return the name of a file or job, such as ``batches/x``, as a path."""
    return quote(name, safe="/")
