"""The client of Cohere's batches: a dataset is uploaded and validated, and a batch makes a dataset of answers of it.

Sources: cohere 7.3 (SDK), its cookbook on batches (github.com/cohere-ai/cohere-developer-experience), and the live runs
of github.com/crmne/ruby_llm and github.com/qoretechnologies/qore.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import NoUpstreamAnswer, RequestError, UpstreamError
from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import JobOutcome, LaneLimits, ResultGroups, UpstreamJob
from batchgate.providers.batches.api_calls import ApiCalls
from batchgate.providers.batches.avro_lines import AVRO_EXTRA, avro_lines, has_avro
from batchgate.providers.batches.cohere_requests import dataset_body
from batchgate.providers.batches.cohere_results import result_reader
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.job_errors import uploaded_file, upstream_id
from batchgate.providers.batches.job_objects import MAX_STATUS, creation_of, fault_of, files_of, unix_seconds
from batchgate.providers.batches.refusals import refused_field
from batchgate.providers.batches.request_bodies import MultipartFile
from batchgate.providers.batches.result_reader import chain_results, read_blocks
from batchgate.providers.batches.secret_redaction import without_secrets
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.cohere import CohereHandler, root_url
from batchgate.providers.responses.provider_errors import redact_and_shorten

_PREFIX: Final = "BATCH_STATUS_"
_OUTCOMES: Final[Mapping[str, JobOutcome]] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELED": "canceled",
    "CANCELLED": "canceled",
}
"""The final states; any other word means that the job still runs."""
_DATASET_TYPES: Final[Mapping[RowKind, str]] = {
    "chat_completions": "batch-chat-v2-input",
    "cohere_chat": "batch-chat-v2-input",
    "cohere_embed": "batch-embed-v2-input",
}
_NOT_READY: Final = frozenset({"unknown", "queued", "processing"})
_WAITS: Final = (1.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0)
"""Seconds between the questions whether a dataset is ready."""
_PAGE: Final = 1000
_MAX_PAGES: Final = 100


class _Created(Struct, frozen=True):
    id: str


class _Part(Struct, frozen=True):
    url: str | None = None
    index: int | None = None


class _Dataset(Struct, frozen=True):
    validation_status: str | None = None
    validation_error: str | None = None
    dataset_parts: list[_Part] | None = None


class _DatasetAnswer(Struct, frozen=True):
    dataset: _Dataset


class _Job(Struct, frozen=True):
    id: str
    status: str
    name: str | None = None
    created_at: object = None
    output_dataset_id: str | None = None
    status_reason: object = None


class _JobAnswer(Struct, frozen=True):
    batch: _Job


class _Page(Struct, frozen=True):
    batches: list[_Job] = []
    next_page_token: str | None = None


class CohereBatches:
    """Implements `ProviderBatches`; ``handler`` is the handler of the live API.

    A job has one model, and the name of a job and of its dataset follow from the token.
    """

    limits = LaneLimits(
        max_requests=50_000,
        max_bytes=1_500_000_000,
        max_row_bytes=1_500_000_000,
        unpublished=frozenset({"max_requests"}),
    )

    def __init__(
        self,
        handler: CohereHandler,
        exchange: HttpExchange,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._handler: Final = handler
        self._exchange: Final = exchange
        self._calls: Final = ApiCalls(exchange)
        self._sleep: Final = sleep

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of the requests that are sent for rows of a kind; raises `RequestError` if there is none."""
        return self._handler.sent_kind(kind)

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively, with the name of the field; None if it can."""
        if not has_avro():
            return f"lane: the results of Cohere's jobs are Avro, which needs {AVRO_EXTRA}"
        if (refused := refused_field("cohere", row)) is not None:
            return refused
        try:
            dataset_body(self.sent_kind(row.kind), self._handler.body(row, "search_document"))
        except RequestError as error:
            return error.message
        except DECODING_ERRORS as error:
            return str(describe_decoding_error(error))
        return None

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as a row of a dataset. Raises `RequestError`."""
        body = dataset_body(self.sent_kind(row.kind), self._handler.body(row, account.embedding_input_type))
        line = msgspec.json.encode({"custom_id": identifier, "body": body})
        return PlannedRow(row_id=identifier, line=to_single_line(line))

    async def upload(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> str:
        """Upload the rows as a dataset, and return its id.

        A row that Cohere refuses is left out of the dataset, and so without a result; the others run.
        """
        fields = {
            "name": _name_of(job),
            "type": _DATASET_TYPES[job.kind],
            "keep_fields": "custom_id",
            "skip_malformed_input": "true",
        }
        form = MultipartFile((), f"{_name_of(job)}.jsonl", rows, part="data")
        url = f"{root_url(account)}/v1/datasets?{urlencode(fields)}"
        return (await self._calls.upload(account, url, form, _Created, "a dataset")).id

    async def create(self, account: Account, job: NativeJob, rows: AsyncIterator[PlannedRow]) -> UpstreamJob:
        """Create the job from the uploaded dataset once that is validated; ``rows`` are not read.

        The wait is here and not in `upload`: a dataset that takes longer need not be uploaded again.
        """
        _ = rows
        dataset = await self._ready_dataset(account, uploaded_file(job))
        if dataset.validation_status == "failed":
            reason = redact_and_shorten(without_secrets(account, dataset.validation_error or "it gives no reason"))
            message = f"Cohere refused the dataset: {reason}"
            raise UpstreamError("invalid_request_error", message, status=400, retry_safe=False)
        body = msgspec.json.encode({"name": _name_of(job), "input_dataset_id": uploaded_file(job), "model": job.model})
        url = f"{root_url(account)}/v2/batches"
        return _upstream_job(account, (await self._calls.post(account, url, body, _JobAnswer, "a batch")).batch)

    async def find(self, account: Account, job: NativeJob) -> Sequence[UpstreamJob]:
        """Return the jobs upstream that bear the token and are not older than the create call, the oldest first."""
        since, name = creation_of(job), _name_of(job)
        found: dict[str, _Job] = {}
        async for page in self._pages(account):
            ours = [listed for listed in page if listed.name == name]
            found |= {listed.id: listed for listed in ours if (unix_seconds(listed.created_at) or since) >= since}
        ordered = sorted(found.values(), key=lambda listed: unix_seconds(listed.created_at) or 0.0)
        return [_upstream_job(account, listed) for listed in ordered]

    async def poll(self, account: Account, job: NativeJob) -> UpstreamJob | None:
        """Return the state of a job; None if these credentials see no such job."""
        polled = await self._calls.find(account, _job_url(account, job), _JobAnswer, "a batch")
        return None if polled is None else _upstream_job(account, polled.batch)

    async def results(self, account: Account, job: NativeJob, upstream: UpstreamJob) -> ResultGroups:
        """Yield all rows of all parts of the output dataset, from signed URLs, which get no key."""
        for handle in upstream.results:
            dataset = await self._ready_dataset(account, handle)
            parts = sorted(dataset.dataset_parts or (), key=lambda part: part.index or 0)
            calls = [HttpCall(url=part.url, headers={}) for part in parts if part.url]
            async with aclosing(chain_results(self._rows_of(account, job, call) for call in calls)) as results:
                async for group in results:
                    yield group

    def _rows_of(self, account: Account, job: NativeJob, call: HttpCall) -> ResultGroups:
        return read_blocks(account, job, avro_lines(self._exchange, account, call), result_reader(job))

    async def cancel(self, account: Account, job: NativeJob) -> None:
        """Ask Cohere to end a job; one that has ended is left as it is."""
        url = f"{_job_url(account, job)}:cancel"
        try:
            await self._calls.post(account, url, b"", dict[str, object], "an answer to a cancel")
        except UpstreamError as error:
            polled = await self.poll(account, job) if error.status in {400, 409, 422} else None
            if polled is None or (polled.outcome == "running" and polled.status != "CANCELING"):
                raise

    async def discard(self, account: Account, job: NativeJob, upstream: UpstreamJob | None) -> None:
        """Delete the datasets of a job; a batch itself cannot be deleted."""
        await self._calls.delete(account, [_dataset_url(account, dataset) for dataset in files_of(job, upstream)])

    async def _ready_dataset(self, account: Account, dataset_id: str) -> _Dataset:
        """Return a dataset once its validation has ended."""
        url = _dataset_url(account, dataset_id)
        for wait in (*_WAITS, None):
            dataset = (await self._calls.get(account, url, _DatasetAnswer, "a dataset")).dataset
            if dataset.validation_status not in _NOT_READY:
                return dataset
            if wait is not None:
                await self._sleep(wait)
        message = f"The dataset is not validated after {sum(_WAITS):g} s."
        raise UpstreamError("api_error", message, status=200, retry_safe=True)

    async def _pages(self, account: Account) -> AsyncIterator[list[_Job]]:
        """Yield the pages of the list of jobs, whose order is not documented."""
        query = {"page_size": str(_PAGE)}
        for _ in range(_MAX_PAGES):
            url = f"{root_url(account)}/v2/batches?{urlencode(query)}"
            page = await self._calls.get(account, url, _Page, "a list of batches")
            yield page.batches
            if not page.next_page_token:
                return
            query["page_token"] = page.next_page_token
        message = f"The provider's list of batches does not come to an end within {_MAX_PAGES} pages."
        raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=True)


def _upstream_job(account: Account, job: _Job) -> UpstreamJob:
    """Return what a batch says; it may name its output dataset from the beginning."""
    word = job.status.removeprefix(_PREFIX)
    outcome = _OUTCOMES.get(word, "running")
    fault = fault_of(account, job.status_reason) if outcome == "failed" else None
    return UpstreamJob(
        id=job.id,
        status=word[:MAX_STATUS],
        outcome=outcome,
        results=(job.output_dataset_id,) if job.output_dataset_id and outcome != "running" else (),
        awaits_results=outcome == "completed" and not job.output_dataset_id,
        faults=() if fault is None else (fault,),
    )


def _name_of(job: NativeJob) -> str:
    return f"batchgate-{job.token}"


def _job_url(account: Account, job: NativeJob) -> str:
    return f"{root_url(account)}/v2/batches/{quote(upstream_id(job), safe='')}"


def _dataset_url(account: Account, dataset: str) -> str:
    return f"{root_url(account)}/v1/datasets/{quote(dataset, safe='')}"
