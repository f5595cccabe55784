"""The four Batches operations, as the OpenAI SDKs call them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import BATCHES, CALLER, WORKSPACE
from batchgate.api.openai.batch_view import batch_list, openai_batch
from batchgate.api.openai.create_body import OpenaiBatchFormat
from batchgate.api.provider_names import one_provider
from batchgate.api.repeated_reads import repeatable
from batchgate.api.statuses import openai_status
from batchgate.api.unified.create_batch import create_batch, kind_of, own_endpoint, window_option
from batchgate.api.unified.request_shape import MESSAGES
from batchgate.engine.model.batch import Batch, BatchOptions
from batchgate.engine.model.budget import budget_option
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.submission import Submission
from batchgate_api import openai, parameters

DEFAULT_LIMIT = 20


class BatchesHandler:
    """`BatchesHandlers` on the engine."""

    def __init__(self, choose_account: Callable[[str | None], str]) -> None:
        self._choose_account = choose_account

    async def create_batch(self, request: web.Request, parameters: parameters.CreateBatchParameters) -> openai.Batch:
        """Create a batch from the requests in the body, or from a file, which is validated after the response."""
        form = OpenaiBatchFormat()
        header = value_or_none(parameters.x_model_provider)

        def account() -> str:
            return self._choose_account(one_provider(header, value_or_none(form.fields.provider)))

        def check_head() -> None:
            account()

        def submission() -> Submission:
            return Submission(
                workspace=request[WORKSPACE],
                dialect="anthropic" if form.endpoint == MESSAGES else "openai",
                options=_options(form, parameters),
                provider=account(),
                headers={},
                caller=request[CALLER],
                idempotency_key=value_or_none(parameters.idempotency_key),
                is_retry=(value_or_none(parameters.x_stainless_retry_count) or "0") != "0",
            )

        batch = await create_batch(request, form, submission, check_head=check_head, check_file=form.check_file)
        return openai_batch(batch)

    @repeatable
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

    @repeatable
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


def _options(form: OpenaiBatchFormat, parameters: parameters.CreateBatchParameters) -> BatchOptions:
    kept = value_or_none(form.fields.output_expires_after)
    return BatchOptions(
        kind=kind_of(form.endpoint),
        own_endpoint=own_endpoint(form.endpoint),
        model=value_or_none(form.fields.model),
        metadata=value_or_none(form.fields.metadata),
        input_file=form.input_file,
        output_lifetime=None if kept is None else kept.seconds,
        window=window_option(form.fields.completion_window),
        lane=parameters.batchgate_lane,
        name=parameters.batchgate_name,
        priority=parameters.batchgate_priority,
        concurrency=parameters.batchgate_concurrency,
        webhook=parameters.batchgate_webhook_url,
        fail_fast=parameters.batchgate_fail_fast,
        reuse=parameters.batchgate_reuse,
        budget=budget_option(parameters.batchgate_budget_usd),
    )
