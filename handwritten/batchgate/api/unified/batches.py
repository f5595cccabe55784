"""The five batch operations of the unified surface, where a call names its provider, or means the default account."""

from __future__ import annotations

from typing import Final, TypeAlias

from aiohttp import hdrs, web
from msgspec import UNSET, Struct, UnsetType

from batchgate.api.binding import value_or_none
from batchgate.api.context import BATCHES, CALLER, CONTENTS, WORKSPACE
from batchgate.api.downloads import JSONL, send_json, send_lines
from batchgate.api.provider_names import PROVIDER, ProviderNames
from batchgate.api.unified.batch_view import UnifiedBatchView
from batchgate.api.unified.create_batch import create_batch, kind_of, own_endpoint, window_option
from batchgate.api.unified.create_body import UnifiedBatchFormat
from batchgate.api.unified.extra_fields import start_extra_fields
from batchgate.api.unified.request_shape import MESSAGES
from batchgate.api.unified.results import results_object
from batchgate.engine.model.batch import Batch, BatchOptions
from batchgate.engine.model.budget import budget_option
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.submission import Submission
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import gateway, parameters

DEFAULT_LIMIT: Final = 20
MAX_PAGE: Final = 1000
"""Maximum batches on a page."""
PLACES: Final = "in the query or the header x-model-provider"
"""Where most calls name the provider."""
PLACES_OF_CREATE: Final = (
    "in the query, in the header x-model-provider or before a slash in the model of the batch itself"
)


_OfOneBatch: TypeAlias = (
    parameters.RetrieveUnifiedBatchParameters
    | parameters.CancelUnifiedBatchParameters
    | parameters.RetrieveUnifiedBatchResultsParameters
)


class _Target(Struct, frozen=True):
    """The account and the default model of a create."""

    provider: str
    """The name that the caller used."""
    account: str
    model: str | None
    """The default model."""


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
        named = self._names.find(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider))
        form = UnifiedBatchFormat()

        def target() -> _Target:
            return self._target(named, value_or_none(form.fields.model))

        def submission() -> Submission:
            chosen = target()
            return Submission(
                workspace=request[WORKSPACE],
                dialect="anthropic" if form.endpoint == MESSAGES else "openai",
                options=_options(form, chosen.model),
                provider=chosen.account,
                headers={},
                caller=request[CALLER],
                idempotency_key=value_or_none(parameters.idempotency_key),
                is_retry=(value_or_none(parameters.x_stainless_retry_count) or "0") != "0",
            )

        def check_head() -> None:
            if named is not None or value_or_none(form.fields.model) is not None:
                target()

        batch = await create_batch(request, form, submission, check_head=check_head, check_file=lambda: None)
        return self._view.batch(request, batch, target().provider, extra)

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

    def _target(self, named: str | None, model: str | None) -> _Target:
        """Choose by the provider of the call, by the prefix of the model, or the default account."""
        prefix, _, bare = (model or "").partition("/")
        if named is not None:
            own = prefix == named and bare != ""
            return _Target(named, self._names.account(named, PROVIDER), bare if own else model)
        account = self._names.account_or_none(prefix) if bare else None
        if account is not None:
            return _Target(prefix, account, bare)
        default = self._names.default
        if prefix and bare and not (default is not None and self._names.is_model_part(default, prefix)):
            raise self._names.unknown(prefix, "model")
        if default is None:
            raise self._names.missing(PLACES_OF_CREATE)
        return _Target(default, default, model)


def _options(form: UnifiedBatchFormat, model: str | None) -> BatchOptions:
    kept = value_or_none(form.fields.output_expires_after)
    return BatchOptions(
        kind=kind_of(form.endpoint),
        own_endpoint=own_endpoint(form.endpoint),
        model=model,
        metadata=value_or_none(form.fields.metadata),
        input_file=form.input_file,
        output_lifetime=None if kept is None else kept.seconds,
        window=window_option(form.fields.completion_window),
        lane=form.fields.lane,
        priority=form.fields.priority,
        name=_name(form),
        webhook=UNSET if form.fields.webhook is None else form.fields.webhook,
        fail_fast=form.fields.fail_fast,
        budget=budget_option(form.fields.budget_usd),
    )


def _name(form: UnifiedBatchFormat) -> str | UnsetType:
    name = form.fields.name
    if name is None:
        return UNSET
    if name is not UNSET and name.endswith("\n"):  # $ in a pattern accepts one
        raise RefusedError("invalid_request_error", "name: it ends with a newline", param="name")
    return name


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
