"""The four Batches operations, as the OpenAI SDKs call them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.built_objects import BuiltObjects
from batchgate.api.context import BATCHES, CALLER, WORKSPACE
from batchgate.api.metadata import checked_metadata
from batchgate.api.openai.batch_view import batch_list, openai_batch
from batchgate.api.upload_form import one_provider
from batchgate.engine.model.batch import Batch, BatchOptions
from batchgate.engine.model.batch_endpoint import KINDS
from batchgate.engine.model.submission import Submission
from batchgate_api import openai, parameters

DEFAULT_LIMIT = 20


class BatchesHandler:
    """`BatchesHandlers` on the engine."""

    def __init__(self, choose_account: Callable[[str | None], str]) -> None:
        self._choose_account = choose_account
        self._built: BuiltObjects[openai.Batch] = BuiltObjects()

    async def create_batch(
        self, request: web.Request, parameters: parameters.CreateBatchParameters, body: openai.CreateBatch
    ) -> openai.Batch:
        """Create a batch from an uploaded file, which is validated after the response."""
        provider = one_provider(value_or_none(parameters.x_model_provider), value_or_none(body.provider))
        submission = Submission(
            workspace=request[WORKSPACE],
            dialect="openai",
            options=_options(body),
            provider=self._choose_account(provider),
            headers={},
            caller=request[CALLER],
            idempotency_key=value_or_none(parameters.idempotency_key),
            is_retry=(value_or_none(parameters.x_stainless_retry_count) or "0") != "0",
        )
        return openai_batch(await request.app[BATCHES].create_from_file(submission))

    async def list_batches(
        self, request: web.Request, parameters: parameters.ListBatchesParameters
    ) -> openai.BatchList:
        """List batches, newest first."""
        page = await request.app[BATCHES].list(
            request[WORKSPACE],
            after=value_or_none(parameters.after),
            before=None,
            provider=value_or_none(parameters.provider),
            limit=value_or_none(parameters.limit) or DEFAULT_LIMIT,
            after_name="after",
        )
        return batch_list(page, self._show)

    async def retrieve_batch(
        self, request: web.Request, parameters: parameters.RetrieveBatchParameters
    ) -> openai.Batch:
        """Retrieve one batch."""
        batch = await request.app[BATCHES].find(request[WORKSPACE], parameters.batch_id)
        faults = await request.app[BATCHES].faults(batch)
        return self._show(batch) if faults is None else openai_batch(batch, faults)

    async def cancel_batch(self, request: web.Request, parameters: parameters.CancelBatchParameters) -> openai.Batch:
        """Cancel a batch; a body is ignored."""
        return openai_batch(await request.app[BATCHES].cancel(request[WORKSPACE], parameters.batch_id))

    def _show(self, batch: Batch) -> openai.Batch:
        return self._built.get(batch, "", lambda batch, _: openai_batch(batch))


def _options(body: openai.CreateBatch) -> BatchOptions:
    kept = value_or_none(body.output_expires_after)
    return BatchOptions(
        kind=KINDS[body.endpoint],
        metadata=checked_metadata(value_or_none(body.metadata)),
        input_file=body.input_file_id,
        output_lifetime=None if kept is None else kept.seconds,
    )
