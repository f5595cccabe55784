"""The five batch operations of the unified surface, where every call names its provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import hdrs, web
from msgspec import Struct

from batchgate.api.binding import given
from batchgate.api.content_encoding import content_decoder
from batchgate.api.context import BATCHES, CALLER, CONTENTS, WORKSPACE
from batchgate.api.create_body import MAX_BODY, CreateReader
from batchgate.api.downloads import JSONL, send_json, send_lines
from batchgate.api.request_body import pieces
from batchgate.api.request_errors import fault_code, known_values
from batchgate.api.unified.batch_view import UnifiedBatchView
from batchgate.api.unified.create_body import UnifiedBatchForm
from batchgate.api.unified.extra_fields import begin
from batchgate.api.unified.request_shape import MESSAGES
from batchgate.api.unified.results import results_object
from batchgate.api.upload_form import PROVIDER, one_provider
from batchgate.engine.model.batch import BatchOptions
from batchgate.engine.model.batch_endpoint import KINDS
from batchgate.engine.model.decoding_errors import FIELD_REQUIRED
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.submission import Submission
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import gateway, parameters
from batchgate_api.gateway import UnifiedBatchEndpoint, UnifiedBatchRequest

DEFAULT_LIMIT: Final = 20
MOST: Final = 1000
"""Batches on a page."""
STEP: Final = 16 * 1024
"""Bytes of a body that are gathered before its first request is looked for."""


class _Runner(Struct, frozen=True):
    """Who runs the requests of a create."""

    provider: str
    """As the caller names it."""
    account: str
    model: str | None
    """For requests that name none."""


class UnifiedBatchesHandler:
    """`UnifiedBatchesHandlers` on the engine; ``choose`` finds the account of a provider that a parameter names."""

    def __init__(self, view: UnifiedBatchView, blobs: Blobs, choose: Callable[[str, str], str]) -> None:
        self._view = view
        self._blobs = blobs
        self._choose = choose

    async def create_unified_batch(
        self, request: web.Request, parameters: parameters.CreateUnifiedBatchParameters
    ) -> gateway.UnifiedBatch:
        """Create a batch of the requests in the body, or of a file if it names one."""
        extra = begin("batch_create")
        named = one_provider(given(parameters.provider), given(parameters.x_model_provider))
        form = UnifiedBatchForm()
        reader = CreateReader(content_decoder(request.headers.get(hdrs.CONTENT_ENCODING)), form)

        def runner() -> _Runner:
            return self._runner(named, given(form.fields.model))

        def submission() -> Submission:
            chosen = runner()
            return Submission(
                workspace=request[WORKSPACE],
                dialect="anthropic" if form.endpoint == MESSAGES else "openai",
                options=_terms(form, chosen.model),
                provider=chosen.account,
                headers={},
                caller=request[CALLER],
                idempotency_key=given(parameters.idempotency_key),
                is_retry=(given(parameters.x_stainless_retry_count) or "0") != "0",
            )

        body = pieces(request, MAX_BODY)
        if await _requests_begin(reader, body):
            if named is not None or given(form.fields.model) is not None:
                runner()  # refuses before all has been read
            batch = await request.app[BATCHES].create(submission, _rest(body), reader)
        else:
            form.take_whole(reader.without_requests())
            _check_file_endpoint(form.endpoint)
            batch = await request.app[BATCHES].create_from_file(submission())
        return self._view.batch(request, batch, runner().provider, extra)

    async def list_unified_batches(
        self, request: web.Request, parameters: parameters.ListUnifiedBatchesParameters
    ) -> gateway.UnifiedBatchList:
        """List the batches of a provider, the newest first."""
        extra = begin("batch_list")
        after, before = given(parameters.after), given(parameters.before)
        page = await request.app[BATCHES].list(
            request[WORKSPACE],
            after=after,
            before=before,
            provider=parameters.provider,
            limit=min(MOST, given(parameters.limit) or DEFAULT_LIMIT),
            after_name="after",
            before_name="before",
        )
        backwards = before is not None and after is None
        return self._view.page(request, page, parameters.provider, extra, backwards=backwards)

    async def retrieve_unified_batch(
        self, request: web.Request, parameters: parameters.RetrieveUnifiedBatchParameters
    ) -> gateway.UnifiedBatch:
        """Retrieve one batch."""
        extra = begin("batch_retrieve")
        provider = parameters.provider
        batch = await request.app[BATCHES].find(request[WORKSPACE], parameters.batch_id, provider=provider)
        return self._view.batch(request, batch, provider, extra, await request.app[BATCHES].faults(batch))

    async def cancel_unified_batch(
        self, request: web.Request, parameters: parameters.CancelUnifiedBatchParameters
    ) -> gateway.UnifiedBatch:
        """Stop a batch; the body, if any, is not read."""
        extra = begin("batch_cancel")
        batches, workspace, provider = request.app[BATCHES], request[WORKSPACE], parameters.provider
        await batches.find(workspace, parameters.batch_id, provider=provider)
        batch = await batches.cancel(workspace, parameters.batch_id)
        return self._view.batch(request, batch, provider, extra)

    async def retrieve_unified_batch_results(
        self, request: web.Request, parameters: parameters.RetrieveUnifiedBatchResultsParameters
    ) -> web.StreamResponse:
        """Download the results of a batch that has ended, as lines or as one object."""
        extra = begin("batch_results")
        batches, workspace, provider = request.app[BATCHES], request[WORKSPACE], parameters.provider
        await batches.find(workspace, parameters.batch_id, provider=provider)
        batch = await batches.find_with_results(workspace, parameters.batch_id)
        lines = request.app[CONTENTS].results(batch, batch.dialect)
        vary: dict[str, str] = {hdrs.VARY: f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}"}
        if _wants_json(request):
            return await send_json(request, self._blobs, results_object(batch, lines, provider, extra), vary)
        return await send_lines(request, self._blobs, lines, vary)

    def _runner(self, named: str | None, model: str | None) -> _Runner:
        """Choose by the provider that the call names, or by what stands before the slash of the model."""
        prefix, _, bare = (model or "").partition("/")
        if named is not None:
            own = prefix == named and bare != ""
            return _Runner(named, self._choose(named, PROVIDER), bare if own else model)
        if prefix and bare:
            return _Runner(prefix, self._choose(prefix, "model"), bare)
        known = ", ".join(known_values(parameters.CreateUnifiedBatchParameters, PROVIDER))
        message = (
            f"provider: {FIELD_REQUIRED}, in the query, in the header x-model-provider or before a slash in the model "
            f"of the batch itself; it must be one of {known}"
        )
        raise RefusedError("invalid_request_error", message, param=PROVIDER, code=fault_code(FIELD_REQUIRED))


async def _requests_begin(reader: CreateReader[UnifiedBatchRequest], body: AsyncIterator[bytes]) -> bool:
    """Read a body up to its first request, and tell if there is one."""
    held = b""
    async for data in body:
        held += data
        if len(held) >= STEP:
            if reader.begin(held):
                return True
            held = b""
    return reader.begin(held)


async def _rest(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what has not been read of a body, after nothing, for a reader that holds some of it already."""
    yield b""
    async for data in body:
        yield data


def _terms(form: UnifiedBatchForm, model: str | None) -> BatchOptions:
    kept = given(form.fields.output_expires_after)
    return BatchOptions(
        kind=_kind(form.endpoint),
        model=model,
        metadata=given(form.fields.metadata),
        input_file=given(form.fields.input_file_id),
        output_lifetime=None if kept is None else kept.seconds,
    )


def _kind(endpoint: UnifiedBatchEndpoint) -> RowKind:
    return "messages" if endpoint == "/v1/messages" else KINDS[endpoint]


def _check_file_endpoint(endpoint: UnifiedBatchEndpoint) -> None:
    if endpoint == MESSAGES:
        message = f"endpoint: a file has no requests for {MESSAGES}, only for {', '.join(KINDS)}; send them in requests"
        raise RefusedError("invalid_request_error", message, param="endpoint")


def _wants_json(request: web.Request) -> bool:
    """Tell if the caller asks for JSON, and not as much for lines."""
    return _quality(request, "application/json") > _quality(request, JSONL)


def _quality(request: web.Request, media_type: str) -> float:
    """Read how much a caller wants a media type, from 0 to 1; what is not named is not wanted."""
    for offer in ",".join(request.headers.getall(hdrs.ACCEPT, [])).lower().split(","):
        name, *settings = (part.strip() for part in offer.split(";"))
        if name == media_type:
            weights = [setting.removeprefix("q=") for setting in settings if setting.startswith("q=")]
            try:
                return float(weights[0]) if weights else 1.0
            except ValueError:
                return 1.0
    return 0.0
