"""Calls of a batch API with the key of an account: JSON and files in, JSON and result files out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Final, TypeVar

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.provider_call import Account, UpstreamResponse
from batchgate.engine.ports.provider_batches import NativeResult, ResultGroups
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.job_errors import if_found
from batchgate.providers.batches.provider_objects import read_object
from batchgate.providers.batches.request_bodies import MultipartFile
from batchgate.providers.batches.result_lines import MAX_LINE_BYTES
from batchgate.providers.batches.result_reader import read_result_files
from batchgate.providers.handlers.openai import KeyHeader, key_headers

T = TypeVar("T")


class ApiCalls:
    """Makes calls, and raises what `HttpExchange` raises.

    An answer that is not of the expected ``kind`` raises `NoUpstreamAnswer`, which says that ``name`` was expected.
    """

    def __init__(self, exchange: HttpExchange, key_header: KeyHeader = "authorization") -> None:
        self._exchange: Final = exchange
        self._key_header: Final = key_header

    def headers(self, account: Account) -> dict[str, str]:
        """Return the header with the key of an account."""
        return key_headers(account, self._key_header)

    async def get(self, account: Account, url: str, kind: type[T], name: str) -> T:
        """Get an object."""
        return await self._send(account, HttpCall(url=url, headers=self.headers(account)), kind, name)

    async def find(self, account: Account, url: str, kind: type[T], name: str) -> T | None:
        """Get an object; None for a status of 404."""
        return await if_found(self.get(account, url, kind, name))

    async def get_results(self, account: Account, url: str, kind: type[T], name: str) -> T:
        """Get an object with results, which may be as large as an answer of the live API."""
        content = bytearray()
        call = HttpCall(url=url, headers=self.headers(account))
        async with aclosing(self._exchange.download(account, call)) as blocks:
            async for block in blocks:
                content += block
                if len(content) > MAX_LINE_BYTES:
                    message = f"The provider's results have more than {MAX_LINE_BYTES} bytes."
                    raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=False)
        return read_object(account, UpstreamResponse(status=200, headers={}, body=bytes(content)), kind, name)

    async def post(self, account: Account, url: str, body: bytes | AsyncIterator[bytes], kind: type[T], name: str) -> T:
        """Post encoded JSON."""
        headers = self.headers(account) | {"content-type": "application/json"}
        return await self._send(account, HttpCall(method="POST", url=url, headers=headers, body=body), kind, name)

    async def upload(self, account: Account, url: str, form: MultipartFile, kind: type[T], name: str) -> T:
        """Post a form with a file."""
        headers = self.headers(account) | {"content-type": form.content_type}
        call = HttpCall(method="POST", url=url, headers=headers, body=form.blocks())
        return await self._send(account, call, kind, name)

    async def delete(self, account: Account, urls: Iterable[str]) -> None:
        """Delete objects: each is tried, then the first error is raised; what is gone already is no error."""
        first: UpstreamError | None = None
        for url in urls:
            try:
                await self._exchange.send(account, HttpCall(method="DELETE", url=url, headers=self.headers(account)))
            except UpstreamError as error:
                first = first or (None if error.status == 404 else error)
        if first is not None:
            raise first

    def results(
        self, account: Account, job: NativeJob, urls: Iterable[str], read: Callable[[bytes], NativeResult | None]
    ) -> ResultGroups:
        """Return the results of files; one that is missing raises its 404 after the rows of the others."""
        calls = [HttpCall(url=url, headers=self.headers(account)) for url in urls]
        return read_result_files(self._exchange, account, job, calls, read)

    async def _send(self, account: Account, call: HttpCall, kind: type[T], name: str) -> T:
        return read_object(account, await self._exchange.send(account, call), kind, name)
