"""The client of Fireworks' batch inference jobs: a dataset is uploaded, and a job with an id of ours is made of it.

Sources: fireworks-ai 1.2 (SDK) and the live runs that github.com/OpenRouterTeam/docs describes (docs/batch-research).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, UpstreamResponse
from batchgate.engine.ports.provider_batches import (
    JobFault,
    JobOutcome,
    LaneLimits,
    NativeResult,
    ResultGroups,
    UpstreamJob,
)
from batchgate.providers.batches.api_calls import ApiCalls
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.job_errors import uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import MAX_STATUS, fault_of
from batchgate.providers.batches.openai_results import result_of_error
from batchgate.providers.batches.request_bodies import MultipartFile
from batchgate.providers.batches.result_reader import read_result_files
from batchgate.providers.batches.row_lane import RowLane
from batchgate.providers.handlers.openai import OpenAIHandler

_LIVE_PATH: Final = "/inference/v1"
"""The end of an account's ``base_url`` that belongs to the live API alone."""
_PREFIX: Final = "JOB_STATE_"
_OUTCOMES: Final[Mapping[str, JobOutcome]] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "EXPIRED": "expired",
    "EARLY_STOPPED": "expired",
    "CANCELLED": "canceled",
    "DELETING": "canceled",
    "DELETING_CLEANING_UP": "canceled",
    "DELETED": "canceled",
    "ARCHIVED": "canceled",
}
"""The final states; any other word means that the job still runs."""
_WAITS: Final = (1.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds between the questions whether a dataset is ready."""


class _Account(Struct, frozen=True):
    name: str


class _Accounts(Struct, frozen=True):
    accounts: list[_Account] = []


class _Dataset(Struct, frozen=True):
    state: str | None = None


class _Uploaded(Struct, frozen=True):
    """The answer to an upload, of which nothing is needed."""


class _Status(Struct, frozen=True):
    code: object = None
    message: object = None


class _Job(Struct, frozen=True):
    name: str
    state: str
    output: str | None = field(default=None, name="outputDatasetId")
    status: _Status | None = None


class _Downloads(Struct, frozen=True):
    urls: dict[str, str] = field(default_factory=dict, name="filenameToSignedUrls")


class _Line(Struct, frozen=True):
    custom_id: str
    response: Raw | UnsetType = UNSET
    error: object = None


_LINE: Final = msgspec.json.Decoder(_Line)


class FireworksBatches(RowLane):
    """Implements `ProviderBatches`; ``handler`` is the handler of the live API.

    The ids of the dataset and of the job follow from the token, so a job is found by its id, and never made twice. A
    job that runs can only be deleted, with what it has answered.
    """

    name = "fireworks"
    limits = LaneLimits(
        max_requests=50_000,
        max_bytes=150_000_000,
        max_row_bytes=150_000_000,
        unpublished=frozenset({"max_requests"}),
    )
    endpoints = MappingProxyType({"chat_completions": "/v1/chat/completions"})
    rows_have_model = False

    def __init__(
        self,
        handler: OpenAIHandler,
        exchange: HttpExchange,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(handler)
        self._exchange: Final = exchange
        self._calls: Final = ApiCalls(exchange)
        self._sleep: Final = sleep
        self._roots: Final[dict[tuple[str, str | None], str]] = {}
        """The URL of the Fireworks account of each URL and key that was used."""

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Upload the rows as a dataset, wait until it can be used, and return its id."""
        dataset = _id_of(job)
        datasets = f"{await self._root(account)}/datasets"
        await self._create_dataset(account, datasets, dataset, job.requests)
        form = MultipartFile((), f"{dataset}.jsonl", rows)
        await self._calls.upload(account, f"{datasets}/{dataset}:upload", form, _Uploaded, "an uploaded file")
        await self._wait_until_ready(account, f"{datasets}/{dataset}")
        return dataset

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job of the dataset, or return the one that an earlier call has created; ``rows`` are not read."""
        _ = rows
        root = await self._root(account)
        dataset = f"{_account_path(root)}/datasets/{uploaded_file(job)}"
        body = msgspec.json.encode({"model": job.model, "inputDatasetId": dataset})
        url = f"{root}/batchInferenceJobs?batchInferenceJobId={_id_of(job)}"
        try:
            created = await self._calls.post(account, url, body, _Job, "a batch inference job")
        except UpstreamError as error:
            if error.status != 409 or not (found := await self.find(account, job)):
                raise
            return found[0]
        return _upstream_job(account, created)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the job upstream that has the id which follows from the token."""
        found = await self._find(account, _id_of(job))
        return [] if found is None else [found]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job, or if it was deleted."""
        return await self._find(account, upstream_id(job))

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all rows of all files of the output dataset, by URLs that are asked for anew and get no key."""
        root = await self._root(account)
        for handle in upstream.results:
            url = f"{root}/datasets/{quote(handle, safe='')}:getDownloadEndpoint"
            downloads = await self._calls.get(account, url, _Downloads, "signed URLs")
            calls = [HttpCall(url=signed, headers={}) for signed in downloads.urls.values()]
            async with aclosing(read_result_files(self._exchange, account, job, calls, read_result)) as results:
                async for group in results:
                    yield group

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Delete a job that runs: there is no other way to end it. One that has ended keeps its results."""
        polled = await self.poll(account, job)
        if polled is not None and polled.outcome == "running":
            await self._calls.delete(account, [await self._job_url(account, upstream_id(job))])

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete a job and its datasets, also one whose upload was not completed."""
        root = await self._root(account)
        datasets = (_id_of(job), *(upstream.results if upstream is not None else ()))
        urls = [f"{root}/datasets/{quote(dataset, safe='')}" for dataset in datasets]
        if job.upstream_id is not None:
            urls.insert(0, await self._job_url(account, job.upstream_id))
        await self._calls.delete(account, urls)

    async def _root(self, account: Account) -> str:
        """Return the URL of the one Fireworks account that the key belongs to, which all paths begin with."""
        key = (account.base_url, account.api_key)
        if key not in self._roots:
            base = account.base_url.removesuffix(_LIVE_PATH)
            seen = await self._calls.get(account, f"{base}/v1/accounts", _Accounts, "a list of accounts")
            names = [found.name for found in seen.accounts]
            if len(names) != 1:
                message = f"The key must belong to one account of Fireworks, but sees {', '.join(names) or 'none'}."
                raise UpstreamError("permission_error", message, status=403, retry_safe=False)
            self._roots[key] = f"{base}/v1/{quote(names[0])}"
        return self._roots[key]

    async def _job_url(self, account: Account, job_id: str) -> str:
        return f"{await self._root(account)}/batchInferenceJobs/{quote(job_id, safe='')}"

    async def _find(self, account: Account, job_id: str) -> UpstreamJob | None:
        found = await self._calls.find(account, await self._job_url(account, job_id), _Job, "a batch inference job")
        return None if found is None else _upstream_job(account, found)

    async def _create_dataset(self, account: Account, url: str, dataset: str, requests: int) -> None:
        """Create an empty dataset; one that an interrupted upload has left is replaced."""
        content = {"datasetId": dataset, "dataset": {"userUploaded": {}, "exampleCount": str(requests)}}
        body = msgspec.json.encode(content)
        try:
            await self._calls.post(account, url, body, _Dataset, "a dataset")
        except UpstreamError as error:
            if error.status != 409:
                raise
            await self._calls.delete(account, [f"{url}/{dataset}"])
            await self._calls.post(account, url, body, _Dataset, "a dataset")

    async def _wait_until_ready(self, account: Account, url: str) -> None:
        for wait in (*_WAITS, None):
            if (await self._calls.get(account, url, _Dataset, "a dataset")).state == "READY":
                return
            if wait is not None:
                await self._sleep(wait)
        message = f"The uploaded dataset is not ready after {sum(_WAITS):g} s."
        raise UpstreamError("api_error", message, status=200, retry_safe=True)


def _id_of(job: NativeJob) -> str:
    """Return the id of a job and of its dataset: Fireworks takes lower case letters, digits and hyphens."""
    return f"batchgate-{hashlib.sha256(job.token.encode()).hexdigest()[:32]}"


def _account_path(root: str) -> str:
    return root[root.rindex("accounts/") :]


def _upstream_job(account: Account, job: _Job) -> UpstreamJob:
    """Return what a job says; its output dataset is named from the beginning, and does not exist if it failed."""
    word = job.state.removeprefix(_PREFIX)
    outcome = _OUTCOMES.get(word, "running")
    output = job.output if outcome not in {"running", "failed"} else None
    return UpstreamJob(
        id=job.name.rpartition("/")[2],
        status=word[:MAX_STATUS],
        outcome=outcome,
        results=(output.rpartition("/")[2],) if output else (),
        awaits_results=outcome == "completed" and not output,
        faults=tuple(_faults(account, job.status)) if outcome == "failed" else (),
    )


def _faults(account: Account, status: _Status | None) -> list[JobFault]:
    fault = None if status is None else fault_of(account, status.message, status.code)
    return [] if fault is None else [fault]


def read_result(line: bytes) -> NativeResult | None:
    """Return what a line says about a request: the answer stands in it without a status."""
    try:
        read = _LINE.decode(line)
    except DECODING_ERRORS:
        return None
    if read.response is not UNSET and bytes(read.response) != b"null":
        response = UpstreamResponse(status=200, headers={}, body=bytes(read.response))
        return NativeResult(row_id=read.custom_id, response=response)
    return result_of_error(read.custom_id, read.error)
