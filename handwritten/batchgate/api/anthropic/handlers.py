"""The six Message Batches operations."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from batchgate.api.anthropic.create_body import MessageBatchReader
from batchgate.api.anthropic.view import MessageBatchView
from batchgate.api.binding import value_or_none
from batchgate.api.context import BATCHES, CALLER, CONTENTS, WORKSPACE
from batchgate.api.create_body import MAX_BODY
from batchgate.api.downloads import send_lines
from batchgate.api.early_quotas import check_quotas_early
from batchgate.api.metadata import metadata_of_form
from batchgate.api.repeated_reads import repeatable
from batchgate.api.request_body import body_decoder, pieces
from batchgate.engine.model.batch import BatchOptions
from batchgate.engine.model.budget import budget_option
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.provider_call import ANTHROPIC_VERSION
from batchgate.engine.model.submission import Submission
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import anthropic, parameters

DEFAULT_LIMIT = 20


class MessageBatchesHandler:
    """`MessageBatchesHandlers` on the engine."""

    def __init__(self, view: MessageBatchView, blobs: Blobs, choose_account: Callable[[str | None], str]) -> None:
        self._view = view
        self._blobs = blobs
        self._choose_account = choose_account

    async def create_message_batch(
        self, request: web.Request, parameters: parameters.CreateMessageBatchParameters
    ) -> anthropic.MessageBatch:
        """Create a batch of Messages requests."""
        provider = self._choose_account(value_or_none(parameters.x_model_provider))
        reader = MessageBatchReader(body_decoder(request))
        submission = Submission(
            workspace=request[WORKSPACE],
            dialect="anthropic",
            options=_options(parameters),
            provider=provider,
            headers=_upstream_headers(parameters),
            caller=request[CALLER],
            idempotency_key=value_or_none(parameters.idempotency_key),
            is_retry=(value_or_none(parameters.x_stainless_retry_count) or "0") != "0",
        )
        await check_quotas_early(request)
        body = pieces(request, MAX_BODY)
        batch = await request.app[BATCHES].create(lambda: submission, body, reader, id_prefix="msgbatch")
        return self._view.batch(request, batch)

    @repeatable
    async def list_message_batches(
        self, request: web.Request, parameters: parameters.ListMessageBatchesParameters
    ) -> anthropic.MessageBatchPage:
        """List batches, newest first, in either paging style."""
        _refuse_both(request, "limit", "page_size")
        _refuse_both(request, "after_id", "page_token")
        page = await request.app[BATCHES].list(
            request[WORKSPACE],
            after=value_or_none(parameters.after_id) or value_or_none(parameters.page_token),
            before=value_or_none(parameters.before_id),
            provider=value_or_none(parameters.x_model_provider),
            limit=value_or_none(parameters.page_size) or value_or_none(parameters.limit) or DEFAULT_LIMIT,
            after_name="page_token" if value_or_none(parameters.page_token) else "after_id",
        )
        return self._view.page(request, page)

    @repeatable
    async def retrieve_message_batch(
        self, request: web.Request, parameters: parameters.RetrieveMessageBatchParameters
    ) -> anthropic.MessageBatch:
        """Retrieve one batch."""
        batch = await request.app[BATCHES].find(request[WORKSPACE], parameters.message_batch_id)
        return self._view.batch(request, batch)

    async def cancel_message_batch(
        self, request: web.Request, parameters: parameters.CancelMessageBatchParameters
    ) -> anthropic.MessageBatch:
        """Cancel a batch; a body is ignored."""
        batch = await request.app[BATCHES].cancel(request[WORKSPACE], parameters.message_batch_id)
        return self._view.batch(request, batch)

    async def delete_message_batch(
        self, request: web.Request, parameters: parameters.DeleteMessageBatchParameters
    ) -> anthropic.DeletedMessageBatch:
        """Delete an ended batch and its results."""
        await request.app[BATCHES].delete(request[WORKSPACE], parameters.message_batch_id)
        return anthropic.DeletedMessageBatch(id=parameters.message_batch_id, type="message_batch_deleted")

    async def retrieve_message_batch_results(
        self, request: web.Request, parameters: parameters.RetrieveMessageBatchResultsParameters
    ) -> web.StreamResponse:
        """Download the results of an ended batch."""
        batch = await request.app[BATCHES].find_with_results(request[WORKSPACE], parameters.message_batch_id)
        content = request.app[CONTENTS].results(batch, "anthropic")
        return await send_lines(request, self._blobs, content)


def _refuse_both(request: web.Request, one: str, other: str) -> None:
    if one in request.query and other in request.query:
        raise RefusedError("invalid_request_error", f"{other}: it means the same as {one}; send only one of them")


def _options(parameters: parameters.CreateMessageBatchParameters) -> BatchOptions:
    return BatchOptions(
        lane=parameters.batchgate_lane,
        name=parameters.batchgate_name,
        metadata=metadata_of_form("batchgate-metadata", parameters.batchgate_metadata),
        priority=parameters.batchgate_priority,
        concurrency=parameters.batchgate_concurrency,
        fail_fast=parameters.batchgate_fail_fast,
        reuse=parameters.batchgate_reuse,
        budget=budget_option(parameters.batchgate_budget_usd),
        webhook=parameters.batchgate_webhook_url,
    )


def _upstream_headers(parameters: parameters.CreateMessageBatchParameters) -> dict[str, str]:
    headers = {
        "anthropic-version": value_or_none(parameters.anthropic_version) or ANTHROPIC_VERSION,
        "anthropic-beta": value_or_none(parameters.anthropic_beta),
        "anthropic-user-profile-id": value_or_none(parameters.anthropic_user_profile_id),
    }
    return {name: value for name, value in headers.items() if value}
