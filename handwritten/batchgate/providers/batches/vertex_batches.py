"""The client of Vertex AI's batch prediction jobs, for Gemini and Claude (native-lanes 2.4).

Rows and results are objects in a bucket of the caller. A job bears our token in its display name, by which lists are
filtered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.errors import NoUpstreamAnswer, Untranslatable, UpstreamError, UpstreamUnreachable
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import JobOutcome, LaneLimits, ResultGroups, UpstreamJob
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange, Method
from batchgate.providers.batches.job_bucket import JobBucket
from batchgate.providers.batches.job_errors import if_found, uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import MAX_STATUS, creation_of, fault_of, unix_seconds
from batchgate.providers.batches.provider_objects import read_object
from batchgate.providers.batches.result_reader import chain_results, read_blocks
from batchgate.providers.batches.vertex_rows import read_result, refusal, response_schema
from batchgate.providers.dialects.translation import CONVERSATION_KINDS, KIND_NAMES, to_single_line
from batchgate.providers.handlers.vertex import GOOGLE_VERSION, VertexHandler, access_headers, location_path
from batchgate.providers.handlers.vertex_models import vertex_model

T = TypeVar("T")

_NAME: Final = "batchgate-"
_INPUT: Final = "input.jsonl"
_RESULTS: Final = ".jsonl"
_PAGE: Final = 100
_MAX_PAGES: Final = 100
_GLOBAL: Final = "global"
_OUTCOMES: Final[Mapping[str, JobOutcome]] = MappingProxyType(
    {
        "JOB_STATE_SUCCEEDED": "completed",
        "JOB_STATE_PARTIALLY_SUCCEEDED": "completed",
        "JOB_STATE_FAILED": "failed",
        "JOB_STATE_CANCELLED": "canceled",
        "JOB_STATE_EXPIRED": "expired",
    }
)
"""The final states; any other word means that the job still runs."""
_RESOURCE_EXHAUSTED: Final = 8


class _Error(Struct, frozen=True):
    code: object = None
    message: object = None


class _Job(Struct, frozen=True):
    name: str
    displayName: str = ""  # noqa: N815 - the name on the wire
    state: str = ""
    error: _Error | None = None
    createTime: object = None  # noqa: N815 - the name on the wire


class _Page(Struct, frozen=True):
    batchPredictionJobs: list[_Job] = []  # noqa: N815 - the name on the wire
    nextPageToken: str | None = None  # noqa: N815 - the name on the wire


class VertexBatches:
    """Implements `ProviderBatches` for accounts with a project and a bucket."""

    def __init__(self, handler: VertexHandler, exchange: HttpExchange) -> None:
        self._handler: Final = handler
        self._exchange: Final = exchange
        self.limits: Final = LaneLimits(
            max_requests=200_000,
            max_bytes=1_000_000_000,
            max_row_bytes=1_000_000_000,
            window=96 * 3600,
            group_of=partial(response_schema, handler),
        )

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of the rows; what becomes of them depends on the model of the job."""
        if kind not in CONVERSATION_KINDS:
            raise Untranslatable("url", f"{KIND_NAMES[kind]} are not sent in jobs of Vertex")
        return "generate_content" if kind == "responses" else kind

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively, with the name of the field; None if it can."""
        return refusal(self._handler, row)

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as a line of the input; its body is that of the live call. Raises `RequestError`."""
        _ = account
        line = msgspec.json.encode({"custom_id": identifier, "request": Raw(self._handler.body(row))})
        return PlannedRow(row_id=identifier, line=to_single_line(line))

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Write the input into the bucket, and return the name of the object."""
        if account.region == _GLOBAL and vertex_model(job.model).publisher != "google":
            message = "Only Google's models have jobs in the location global; the account needs a region for Claude's."
            raise UpstreamError("permission_error", message, status=400, retry_safe=False)
        _require_token(account)
        name = f"{job.token}/{_INPUT}"
        await JobBucket(account).write(name, rows)
        return name

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job; ``rows`` are not read."""
        _ = rows
        bucket = JobBucket(account).url
        body = {
            "displayName": _display_name(job),
            "model": vertex_model(job.model).resource,
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": [f"{bucket}/{uploaded_file(job)}"]},
            },
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": f"{bucket}/{_output_folder(job)}"},
            },
        }
        created = await self._send(account, "POST", "", _Job, msgspec.json.encode(body))
        return await self._upstream_job(account, job, created)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that bear the token and are not older than the create call, the oldest first."""
        name, since = _display_name(job), creation_of(job)
        listed = [found async for found in self._listed(account, name) if found.displayName == name]
        found = [(unix_seconds(each.createTime) or since, each) for each in listed]
        found.sort(key=lambda each: each[0])
        return [await self._upstream_job(account, job, each) for created, each in found if created >= since]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        polled = await if_found(self._send(account, "GET", _job_path(job), _Job))
        return None if polled is None else await self._upstream_job(account, job, polled)

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all rows of all files of the output, in any order."""
        bucket = JobBucket(account)
        files = (read_blocks(account, job, bucket.read(handle), read_result) for handle in upstream.results)
        async with aclosing(chain_results(files)) as results:
            async for group in results:
                yield group

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask Vertex to cancel a job; one that has ended is left as it is."""
        try:
            await self._send(account, "POST", f"{_job_path(job)}:cancel", dict[str, object], b"{}")
        except UpstreamError as error:
            polled = await self.poll(account, job) if error.status in {400, 409} else None
            if polled is None or (polled.outcome == "running" and polled.status != "JOB_STATE_CANCELLING"):
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the objects of a job, and the job itself if it has ended."""
        first: UpstreamError | None = None
        if upstream is not None:
            try:
                await self._send(account, "DELETE", _job_path(job, upstream.id), dict[str, object])
            except UpstreamError as error:
                first = None if error.status == 404 else error
        bucket = JobBucket(account)
        await bucket.delete(await bucket.names_in(job.token))
        if first is not None:
            raise first

    async def _upstream_job(self, account: Account, job: NativeJob, found: _Job) -> UpstreamJob:
        """Return what a job says; its output is looked for in every final state."""
        outcome = _OUTCOMES.get(found.state, "running")
        error = found.error or _Error()
        names = await JobBucket(account).names_in(_output_folder(job)) if outcome != "running" else ()
        results = tuple(name for name in names if name.endswith(_RESULTS))
        fault = fault_of(account, error.message, f"{error.code}") if outcome == "failed" else None
        return UpstreamJob(
            id=found.name,
            status=found.state[:MAX_STATUS],
            outcome=outcome,
            results=results,
            awaits_results=outcome == "completed" and not results,
            faults=() if fault is None else (fault,),
            limit_exceeded=outcome == "failed" and error.code == _RESOURCE_EXHAUSTED,
        )

    async def _listed(self, account: Account, name: str) -> AsyncIterator[_Job]:
        query = {"filter": f'displayName="{name}"', "pageSize": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            page = await self._send(account, "GET", f"?{urlencode(query)}", _Page)
            for listed in page.batchPredictionJobs:
                yield listed
            if not page.nextPageToken:
                return
            query["pageToken"] = page.nextPageToken
        message = f"The provider's list of jobs does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)

    async def _send(self, account: Account, method: Method, path: str, kind: type[T], body: bytes | None = None) -> T:
        """Make a call for the jobs of the account's project and location; ``path`` stands below them."""
        _require_token(account)
        headers = access_headers(account) | ({"content-type": "application/json"} if body is not None else {})
        url = f"{account.base_url}{GOOGLE_VERSION}{location_path(account)}/batchPredictionJobs{path}"
        response = await self._exchange.send(account, HttpCall(method=method, url=url, headers=headers, body=body))
        return read_object(account, response, kind, "a batch prediction job")


def _require_token(account: Account) -> None:
    """Raise an error that is safe to retry if Google has given no token yet; a call without one would be refused."""
    if not account.api_key:
        message = f"Account {account.name!r} has no access token yet; the log says why."
        raise UpstreamUnreachable("api_error", message, status=0, retry_safe=True)


def _display_name(job: NativeJob) -> str:
    return f"{_NAME}{job.token}"


def _output_folder(job: NativeJob) -> str:
    """Return the folder of the results: every job has one of its own, since Vertex only adds the time to it."""
    return f"{job.token}/output"


def _job_path(job: NativeJob, name: str | None = None) -> str:
    """Return the path of a job, whose name ends with its number."""
    return f"/{(name or upstream_id(job)).rpartition('/')[2]}"
