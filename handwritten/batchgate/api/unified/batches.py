"""The five batch operations of the unified surface, where a call names its provider, or means the default account."""

from __future__ import annotations

from typing import Final, TypeAlias

from aiohttp import hdrs, web

from batchgate.api.binding import value_or_none
from batchgate.api.context import BATCHES, CONTENTS, WORKSPACE
from batchgate.api.downloads import JSONL, send_json, send_lines
from batchgate.api.provider_names import ProviderNames
from batchgate.api.unified.batch_view import UnifiedBatchView
from batchgate.api.unified.create_batch import create_batch
from batchgate.api.unified.create_body import UnifiedBatchFormat
from batchgate.api.unified.extra_fields import start_extra_fields
from batchgate.api.unified.results import results_object
from batchgate.api.unified.unified_create import UnifiedCreate
from batchgate.engine.model.batch import Batch
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import gateway, parameters

DEFAULT_LIMIT: Final = 20
MAX_PAGE: Final = 1000
"""Maximum batches on a page."""
PLACES: Final = "in the query or the header x-model-provider"
"""Where most calls name the provider."""

_OfOneBatch: TypeAlias = (
    parameters.RetrieveUnifiedBatchParameters
    | parameters.CancelUnifiedBatchParameters
    | parameters.RetrieveUnifiedBatchResultsParameters
)


class UnifiedBatchesHandler:
    """`UnifiedBatchesHandlers` on the engine."""

    def __init__(self, view: UnifiedBatchView, blobs: Blobs, names: ProviderNames) -> None:
        self._view = view
        self._blobs = blobs
        self._names = names

    async def create_unified_batch(
        self, request: web.Request, parameters: parameters.CreateUnifiedBatchParameters
    ) -> gateway.UnifiedBatch:
        """Create a batch from the requests in the body, or from a file."""
        extra = start_extra_fields("batch_create")
        form = UnifiedBatchFormat()
        create = UnifiedCreate(
            request,
            form,
            self._names,
            self._names.find(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider)),
            idempotency_key=value_or_none(parameters.idempotency_key),
            is_retry=(value_or_none(parameters.x_stainless_retry_count) or "0") != "0",
        )
        batch = await create_batch(
            request, form, create.submission, check_head=create.check_head, check_file=lambda: None
        )
        return self._view.batch(request, batch, create.provider, extra)

    async def list_unified_batches(
        self, request: web.Request, parameters: parameters.ListUnifiedBatchesParameters
    ) -> gateway.UnifiedBatchList:
        """List the batches of a provider, newest first."""
        extra = start_extra_fields("batch_list")
        after, before = value_or_none(parameters.after), value_or_none(parameters.before)
        provider = self._names.find_or_default(
            value_or_none(parameters.provider), value_or_none(parameters.x_model_provider), PLACES
        )
        page = await request.app[BATCHES].list(
            request[WORKSPACE],
            after=after,
            before=before,
            provider=provider,
            limit=min(MAX_PAGE, value_or_none(parameters.limit) or DEFAULT_LIMIT),
            after_name="after",
            before_name="before",
        )
        backwards = before is not None and after is None
        return self._view.page(request, page, provider, extra, backwards=backwards)

    async def retrieve_unified_batch(
        self, request: web.Request, parameters: parameters.RetrieveUnifiedBatchParameters
    ) -> gateway.UnifiedBatch:
        """Retrieve one batch."""
        extra = start_extra_fields("batch_retrieve")
        batch, provider = await self._find(request, parameters)
        return self._view.batch(request, batch, provider, extra, await request.app[BATCHES].faults(batch))

    async def cancel_unified_batch(
        self, request: web.Request, parameters: parameters.CancelUnifiedBatchParameters
    ) -> gateway.UnifiedBatch:
        """Cancel a batch; a body is ignored."""
        extra = start_extra_fields("batch_cancel")
        _, provider = await self._find(request, parameters)
        batch = await request.app[BATCHES].cancel(request[WORKSPACE], parameters.batch_id)
        return self._view.batch(request, batch, provider, extra)

    async def retrieve_unified_batch_results(
        self, request: web.Request, parameters: parameters.RetrieveUnifiedBatchResultsParameters
    ) -> web.StreamResponse:
        """Download the results of an ended batch, as JSONL or as one object."""
        extra = start_extra_fields("batch_results")
        _, provider = await self._find(request, parameters)
        batch = await request.app[BATCHES].find_with_results(request[WORKSPACE], parameters.batch_id)
        lines = request.app[CONTENTS].results(batch, batch.dialect)
        vary: dict[str, str] = {hdrs.VARY: f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}"}
        if _wants_json(request):
            return await send_json(request, self._blobs, results_object(batch, lines, provider, extra), vary)
        return await send_lines(request, self._blobs, lines, vary)

    async def _find(self, request: web.Request, parameters: _OfOneBatch) -> tuple[Batch, str]:
        """Return a batch, and the provider that the caller names, or else the default account.

        A batch that was not asked for by its provider may have any.
        """
        named = self._names.find(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider))
        provider = self._names.find_or_default(named, None, PLACES)
        return await request.app[BATCHES].find(request[WORKSPACE], parameters.batch_id, provider=named), provider


def _wants_json(request: web.Request) -> bool:
    """Check if the caller prefers JSON to JSONL."""
    return _quality(request, "application/json") > _quality(request, JSONL)


def _quality(request: web.Request, media_type: str) -> float:
    """Return the quality of a media type in Accept, 0 to 1; 0 if it is not listed."""
    for offer in ",".join(request.headers.getall(hdrs.ACCEPT, [])).lower().split(","):
        name, *settings = (part.strip() for part in offer.split(";"))
        if name == media_type:
            weights = [setting.removeprefix("q=") for setting in settings if setting.startswith("q=")]
            try:
                return float(weights[0]) if weights else 1.0
            except ValueError:
                return 1.0
    return 0.0
