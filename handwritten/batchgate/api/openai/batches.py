"""The four Batches operations, as the OpenAI SDKs call them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import BATCHES, CALLER, WORKSPACE
from batchgate.api.metadata import checked_metadata
from batchgate.api.openai.batch_view import batch_list, openai_batch
from batchgate.api.provider_names import one_provider
from batchgate.api.statuses import openai_status
from batchgate.engine.model.batch import Batch, BatchOptions
from batchgate.engine.model.batch_endpoint import KINDS
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.submission import Submission
from batchgate_api import openai, parameters

DEFAULT_LIMIT = 20


class BatchesHandler:
    """`BatchesHandlers` on the engine."""

    def __init__(self, choose_account: Callable[[str | None], str]) -> None:
        self._choose_account = choose_account

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
            provider=one_provider(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider)),
            limit=value_or_none(parameters.limit) or DEFAULT_LIMIT,
            after_name="after",
        )
        return batch_list(page)

    async def retrieve_batch(
        self, request: web.Request, parameters: parameters.RetrieveBatchParameters
    ) -> openai.Batch:
        """Retrieve one batch."""
        batch = await request.app[BATCHES].find(request[WORKSPACE], parameters.batch_id)
        return openai_batch(batch, await request.app[BATCHES].faults(batch))

    async def cancel_batch(self, request: web.Request, parameters: parameters.CancelBatchParameters) -> openai.Batch:
        """Cancel a batch; a body is ignored. Raises `RefusedError` for one that has ended otherwise."""
        batch = await request.app[BATCHES].cancel(request[WORKSPACE], parameters.batch_id)
        if batch.ended_at is not None and openai_status(batch) != "cancelled":
            raise _has_ended(batch)
        return openai_batch(batch)


def _has_ended(batch: Batch) -> RefusedError:
    """Return OpenAI's refusal to cancel an ended batch; SDKs would retry the status 409 without the header."""
    message = f"Cannot cancel a batch with status '{openai_status(batch)}'."
    return RefusedError("conflict_error", message, headers={"x-should-retry": "false"})


def _options(body: openai.CreateBatch) -> BatchOptions:
    kept = value_or_none(body.output_expires_after)
    return BatchOptions(
        kind=KINDS[body.endpoint],
        metadata=checked_metadata(value_or_none(body.metadata)),
        input_file=body.input_file_id,
        output_lifetime=None if kept is None else kept.seconds,
    )
