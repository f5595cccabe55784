"""The client of Bedrock's model invocation jobs: rows and results are objects in a bucket of the caller.

A job bears our token twice: as ``clientRequestToken``, of which a repetition makes no second job, and in its name, by
which it is found. Sources: botocore 1.44 (service model), and the documentation of AWS.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from yarl import URL

from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind, UpstreamResponse
from batchgate.engine.ports.provider_batches import (
    JobFault,
    JobOutcome,
    LaneLimits,
    NativeResult,
    ResultGroups,
    UpstreamJob,
)
from batchgate.providers.aws.credentials import read_credentials
from batchgate.providers.aws.sigv4 import signature_headers
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange, Method
from batchgate.providers.batches.job_bucket import JobBucket
from batchgate.providers.batches.job_errors import uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import MAX_STATUS, fault_of, unix_seconds
from batchgate.providers.batches.provider_objects import read_object
from batchgate.providers.batches.refusals import refused_field
from batchgate.providers.batches.result_reader import read_blocks
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.bedrock import SERVICE, BedrockHandler

T = TypeVar("T")

_NAME: Final = "batchgate-"
_INPUT: Final = "input.jsonl"
_PAGE: Final = 100
_MAX_PAGES: Final = 100
_OUTCOMES: Final[Mapping[str, JobOutcome]] = MappingProxyType(
    {
        "Completed": "completed",
        "PartiallyCompleted": "expired",
        "Failed": "failed",
        "Stopped": "canceled",
        "Expired": "expired",
    }
)
"""The final states; any other word means that the job still runs. PartiallyCompleted ran out of time."""
_NOT_IN_CONVERSE_JOBS: Final = ("toolConfig", "outputConfig")
"""What AWS documents as refused in rows of Converse; the bodies of InvokeModel may have them."""


class _Created(Struct, frozen=True):
    jobArn: str  # noqa: N815 - the name on the wire


class _Job(Struct, frozen=True):
    jobArn: str  # noqa: N815 - the name on the wire
    jobName: str = ""  # noqa: N815 - the name on the wire
    status: str = ""
    message: object = None
    submitTime: object = None  # noqa: N815 - the name on the wire


class _Page(Struct, frozen=True):
    invocationJobSummaries: list[_Job] = []  # noqa: N815 - the name on the wire
    nextToken: str | None = None  # noqa: N815 - the name on the wire


class _RowError(Struct, frozen=True):
    errorCode: int = 500  # noqa: N815 - the name on the wire
    errorMessage: str = ""  # noqa: N815 - the name on the wire


class _ResultLine(Struct, frozen=True):
    recordId: str  # noqa: N815 - the name on the wire
    modelOutput: Raw | UnsetType = UNSET  # noqa: N815 - the name on the wire
    error: _RowError | None = None


_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_RESULT: Final = msgspec.json.Decoder(_ResultLine)


class BedrockBatches:
    """Implements `ProviderBatches` for accounts with a bucket and a role; ``now`` returns Unix seconds."""

    limits = LaneLimits(min_requests=100, max_requests=50_000, max_bytes=1_000_000_000, max_row_bytes=25_000_000)

    def __init__(self, handler: BedrockHandler, exchange: HttpExchange, now: Callable[[], float] = time.time) -> None:
        self._handler: Final = handler
        self._exchange: Final = exchange
        self._now: Final = now

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of the rows; what becomes of them depends on the model of the job."""
        return "converse" if kind == "responses" else kind

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively, with the name of the field; None if it can."""
        try:
            kind = self._handler.sent_kind(row.kind, row.model)
            fields = _FIELDS.decode(self._handler.body(row)) if kind == "converse" else {}
        except RequestError as error:
            return error.message
        found = next((name for name in _NOT_IN_CONVERSE_JOBS if name in fields), None)
        return f"{found}: Bedrock's jobs take none with Converse" if found else refused_field("bedrock", row)

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as a line of the input; its body is that of the live call. Raises `RequestError`."""
        _ = account
        line = msgspec.json.encode({"recordId": identifier, "modelInput": Raw(self._handler.body(row))})
        return PlannedRow(row_id=identifier, line=to_single_line(line))

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Write the input into the bucket, and return the name of the object."""
        name = f"{job.token}/{_INPUT}"
        await JobBucket(account).write(name, rows)
        return name

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job; ``rows`` are not read. A repetition of the call makes no second job."""
        _ = rows
        bucket = JobBucket(account).url
        is_converse = self._handler.sent_kind(job.kind, job.model) == "converse"
        body = {
            "jobName": _job_name(job),
            "clientRequestToken": _job_name(job),
            "roleArn": account.batch_role,
            "modelId": job.model,
            "modelInvocationType": "Converse" if is_converse else "InvokeModel",
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"{bucket}/{uploaded_file(job)}"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{bucket}/{_output_folder(job)}/"}},
            "timeoutDurationInHours": self.limits.window // 3600,
        }
        url = f"{_control_url(account)}/model-invocation-job"
        created = await self._send(account, "POST", url, _Created, msgspec.json.encode(body))
        return UpstreamJob(id=created.jobArn, status="Submitted", outcome="running")

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that have the name of the job, the oldest first."""
        found = [listed async for listed in self._listed(account, _job_name(job)) if listed.jobName == _job_name(job)]
        found.sort(key=lambda listed: unix_seconds(listed.submitTime) or 0.0)
        return [await self._upstream_job(account, job, listed) for listed in found]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        try:
            polled = await self._send(account, "GET", _job_url(account, job), _Job)
        except UpstreamError as error:
            if error.status == 404:
                return None
            raise
        return await self._upstream_job(account, job, polled)

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all rows of the output, in any order."""
        for handle in upstream.results:
            blocks = JobBucket(account).read(handle)
            async with aclosing(read_blocks(account, job, blocks, _read_result)) as results:
                async for group in results:
                    yield group

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask Bedrock to stop a job; one that has ended is left as it is."""
        try:
            await self._send(account, "POST", f"{_job_url(account, job)}/stop", dict[str, object], b"")
        except UpstreamError as error:
            polled = await self.poll(account, job) if error.status in {400, 409} else None
            if polled is None or (polled.outcome == "running" and polled.status != "Stopping"):
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the objects of a job; a job itself cannot be deleted."""
        names = [f"{job.token}/{_INPUT}"]  # an upload may have been interrupted before its name was stored
        for handle in upstream.results if upstream is not None else ():
            names += [handle, f"{handle.rpartition('/')[0]}/manifest.json.out"]
        await JobBucket(account).delete(names)

    async def _upstream_job(self, account: Account, job: NativeJob, found: _Job) -> UpstreamJob:
        """Return what a job says; its output is looked for in every final state (native-lanes 2.6)."""
        outcome = _OUTCOMES.get(found.status, "running")
        output = f"{_output_folder(job)}/{found.jobArn.rpartition('/')[2]}/{_INPUT}.out"
        exists = outcome != "running" and await JobBucket(account).exists(output)
        fault = fault_of(account, found.message) if outcome == "failed" else None
        faults: tuple[JobFault, ...] = () if fault is None else (fault,)
        return UpstreamJob(
            id=found.jobArn,
            status=found.status[:MAX_STATUS],
            outcome=outcome,
            results=(output,) if exists or outcome == "completed" else (),
            awaits_results=outcome == "completed" and not exists,
            faults=faults,
        )

    async def _listed(self, account: Account, name: str) -> AsyncIterator[_Job]:
        query = {"nameContains": name, "maxResults": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            url = f"{_control_url(account)}/model-invocation-jobs?{urlencode(query)}"
            page = await self._send(account, "GET", url, _Page)
            for listed in page.invocationJobSummaries:
                yield listed
            if not page.nextToken:
                return
            query["nextToken"] = page.nextToken
        message = f"The provider's list of jobs does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)

    async def _send(self, account: Account, method: Method, url: str, kind: type[T], body: bytes | None = None) -> T:
        headers = {"content-type": "application/json"} if body is not None else {}
        credentials = read_credentials(account.api_key or "")
        if credentials is not None:
            headers |= signature_headers(
                credentials,
                method=method,
                url=URL(url),
                headers=headers,
                body=body or b"",
                region=account.region or "",
                service=SERVICE,
                now=self._now(),
            )
        elif account.api_key:
            headers["authorization"] = f"Bearer {account.api_key}"
        response = await self._exchange.send(account, HttpCall(method=method, url=url, headers=headers, body=body))
        return read_object(account, response, kind, "a model invocation job")


def _read_result(line: bytes) -> NativeResult | None:
    """Read a line of the output; an error has a status and a text."""
    try:
        found = _RESULT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if found.error is not None:
        error = msgspec.json.encode({"message": found.error.errorMessage})
        response = UpstreamResponse(status=found.error.errorCode, headers={}, body=error)
        return NativeResult(row_id=found.recordId, response=response)
    if isinstance(found.modelOutput, UnsetType):
        return None
    response = UpstreamResponse(status=200, headers={}, body=bytes(found.modelOutput))
    return NativeResult(row_id=found.recordId, response=response)


def _job_name(job: NativeJob) -> str:
    """Return the name of a job, which may have letters, digits and hyphens only."""
    return f"{_NAME}{job.token.encode().hex()}"


def _output_folder(job: NativeJob) -> str:
    """Return the folder beside the input, in which Bedrock makes one for the job."""
    return f"{uploaded_file(job).rpartition('/')[0]}/output"


def _control_url(account: Account) -> str:
    """Return the URL of the API for jobs, which Amazon has on another host than that of the models."""
    return account.base_url.replace("://bedrock-runtime", "://bedrock", 1)


def _job_url(account: Account, job: NativeJob) -> str:
    return f"{_control_url(account)}/model-invocation-job/{quote(upstream_id(job), safe=':')}"
