"""Estimates of batches that are not created."""

from __future__ import annotations

from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import ESTIMATES, OPEN_UPLOAD, UPLOADS, key_of
from batchgate.api.create_body import MAX_BODY, CreateReader
from batchgate.api.create_faults import CollectedFaults
from batchgate.api.gateway.estimate_view import estimate_view
from batchgate.api.ignored_fields import note_ignored, sent_fields
from batchgate.api.provider_names import ProviderNames
from batchgate.api.request_body import body_decoder, pieces
from batchgate.api.unified.create_batch import check_file_endpoint, requests_begin, rest_of
from batchgate.api.unified.create_body import UnifiedBatchFormat
from batchgate.api.unified.unified_create import UnifiedCreate
from batchgate.engine.model.batch_estimate import BatchEstimate
from batchgate_api import gateway, parameters


class BatchEstimatesHandler:
    """`BatchEstimatesHandlers` on the engine."""

    def __init__(self, names: ProviderNames) -> None:
        self._names = names

    async def validate_batch(
        self, request: web.Request, parameters: parameters.ValidateBatchParameters
    ) -> gateway.BatchEstimate:
        """Check the requests in the body, or in a file, and estimate what they would need."""
        named = self._names.find(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider))
        form = UnifiedBatchFormat()
        create = UnifiedCreate(request, form, self._names, named)
        estimate = await _estimate(request, form, create)
        note_ignored(request, sent_fields(form.fields))
        return estimate_view(estimate, create.submission().options, of_file=form.input_file is not None)


async def _estimate(request: web.Request, form: UnifiedBatchFormat, create: UnifiedCreate) -> BatchEstimate:
    requests = CollectedFaults()
    reader = CreateReader(body_decoder(request), form, requests)
    body = pieces(request, MAX_BODY)
    if await requests_begin(reader, body):
        create.check_head()
        submission = create.submission
        return await request.app[ESTIMATES].of_requests(submission, rest_of(body), reader, requests)
    form.read_without_requests(reader.without_requests())
    check_file_endpoint(form.endpoint)
    # A few bytes ask for a file of any size: it counts as an upload while it is read.
    request[OPEN_UPLOAD].enter_context(request.app[UPLOADS].hold(key_of(request)))
    return await request.app[ESTIMATES].of_file(create.submission())
