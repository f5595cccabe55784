"""The client of Anthropic's Message Batches: the create call carries the requests, and no job has a label."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import ANTHROPIC_VERSION, Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import LaneLimits, ResultGroups, UpstreamJob
from batchgate.providers.batches.anthropic_results import MessageBatch, MessageBatchPage, read_result, upstream_job
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.job_errors import if_found, upstream_id
from batchgate.providers.batches.job_objects import creation_of
from batchgate.providers.batches.provider_objects import read_object
from batchgate.providers.batches.refusals import refused_field
from batchgate.providers.batches.request_bodies import request_list
from batchgate.providers.batches.result_reader import read_result_files
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.anthropic import AnthropicHandler

_PATH: Final = "/v1/messages/batches"
_VERSION: Final = "anthropic-version"
_PAGE: Final = 1000
_MAX_PAGES: Final = 100
_LIMITS: Final = LaneLimits(
    max_requests=100_000,
    max_bytes=256_000_000 - 1_000,
    max_row_bytes=32_000_000,
    one_model=False,
    label="approximate",
)
"""The envelope of the list has far less than the 1,000 bytes."""


class AnthropicBatches:
    """Implements `ProviderBatches` for Message Batches; ``handler`` is the handler of the live API.

    A job is found by its time and size, since it has no label.
    """

    def __init__(self, handler: AnthropicHandler, exchange: HttpExchange) -> None:
        self._handler: Final = handler
        self._exchange: Final = exchange

    @property
    def limits(self) -> LaneLimits:
        """What one job may have."""
        return _LIMITS

    def sent_kind(self, kind: RowKind) -> RowKind:  # noqa: ARG002 - the same for all
        """Return the kind of the requests that are sent."""
        return "messages"

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively, with the name of the field; None if it can."""
        return refused_field("anthropic", row)

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as an element of the list; its params are the body of the live call.

        Its headers, betas among them, are those of the live call without the key. Raises `RequestError`.
        """
        _ = account
        element = msgspec.json.encode({"custom_id": identifier, "params": msgspec.Raw(self._handler.body(row))})
        return PlannedRow(row_id=identifier, line=to_single_line(element), headers=self._handler.row_headers(row))

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> None:
        """Do nothing: the create call carries the requests."""

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job with all rows, and with the headers of the first one."""
        _ = job
        first = await anext(rows, None)
        headers = self._headers(account) | {"content-type": "application/json"}
        if first is not None:
            headers |= first.headers
        call = HttpCall(method="POST", url=account.base_url + _PATH, headers=headers, body=request_list(first, rows))
        return await self._job(account, call)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that were made since the create call began, with as many requests as were sent."""
        since = creation_of(job)
        found: list[MessageBatch] = []
        async for page in self._pages(account):
            recent = [batch for batch in page if batch.created is None or batch.created >= since]
            found += [batch for batch in recent if batch.requests == job.sent]
            if len(recent) < len(page):
                break  # the list begins with the newest one
        found.sort(key=lambda batch: batch.created or 0.0)
        return [upstream_job(batch) for batch in found]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        return await if_found(self._job(account, HttpCall(url=self._url(account, job), headers=self._headers(account))))

    def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Return all results, in any order."""
        urls = [f"{account.base_url}{_PATH}/{quote(handle, safe='')}/results" for handle in upstream.results]
        calls = [HttpCall(url=url, headers=self._headers(account)) for url in urls]
        return read_result_files(self._exchange, account, job, calls, read_result)

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask the provider to end a job; one that has ended, or that is asked already, is left as it is."""
        call = HttpCall(
            method="POST", url=self._url(account, job) + "/cancel", headers=self._headers(account), body=b""
        )
        try:
            await self._exchange.send(account, call)
        except UpstreamError as error:
            if error.status not in {400, 409}:
                raise
            upstream = await self.poll(account, job)
            if upstream is None or (upstream.outcome == "running" and upstream.status != "canceling"):
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the job with its requests and results; one that is gone is left so."""
        _ = upstream
        if job.upstream_id is None:
            return
        call = HttpCall(method="DELETE", url=self._url(account, job), headers=self._headers(account))
        try:
            await self._exchange.send(account, call)
        except UpstreamError as error:
            if error.status != 404:
                raise

    async def _job(self, account: Account, call: HttpCall) -> UpstreamJob:
        response = await self._exchange.send(account, call)
        return upstream_job(read_object(account, response, MessageBatch, "a Message Batch"), response.headers)

    async def _pages(self, account: Account) -> AsyncIterator[list[MessageBatch]]:
        """Yield the pages of the list of jobs, the newest first."""
        parameters = {"limit": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            call = HttpCall(url=f"{account.base_url}{_PATH}?{urlencode(parameters)}", headers=self._headers(account))
            response = await self._exchange.send(account, call)
            page = read_object(account, response, MessageBatchPage, "a list of Message Batches")
            yield page.data
            if not (page.has_more and page.data and page.last_id) or page.last_id == parameters.get("after_id"):
                return
            parameters["after_id"] = page.last_id
        message = f"The provider's list of Message Batches does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)

    @staticmethod
    def _url(account: Account, job: NativeJob) -> str:
        return f"{account.base_url}{_PATH}/{quote(upstream_id(job), safe='')}"

    @staticmethod
    def _headers(account: Account) -> dict[str, str]:
        headers = {_VERSION: ANTHROPIC_VERSION}
        if account.api_key:
            headers["x-api-key"] = account.api_key
        return headers
