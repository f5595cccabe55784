"""The five file operations of the unified surface, where a call names its provider, or means the default account."""

from __future__ import annotations

from typing import Final, TypeAlias

from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import FILES, OPERATION, WORKSPACE
from batchgate.api.downloads import send_file
from batchgate.api.ignored_fields import note_ignored
from batchgate.api.provider_names import ProviderNames
from batchgate.api.request_body import body_decoder, pieces
from batchgate.api.unified import file_view as view
from batchgate.api.unified.extra_fields import start_extra_fields
from batchgate.api.upload_form import MAX_BODY, UploadForm
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import gateway, parameters

MAX_PAGE: Final = 10_000
"""Maximum files on a page."""
PLACES: Final = "in the query or the header x-model-provider"
"""Where most calls name the provider."""
PLACES_OF_UPLOAD: Final = "in the query, in the header x-model-provider or in the form"

_OfOneFile: TypeAlias = (
    parameters.RetrieveUnifiedFileParameters
    | parameters.DeleteUnifiedFileParameters
    | parameters.DownloadUnifiedFileParameters
)


class UnifiedFilesHandler:
    """`UnifiedFilesHandlers` on the engine."""

    def __init__(self, blobs: Blobs, names: ProviderNames) -> None:
        self._blobs = blobs
        self._names = names

    async def upload_unified_file(
        self, request: web.Request, parameters: parameters.UploadUnifiedFileParameters
    ) -> gateway.UnifiedFile:
        """Upload a file for the provider in the query, the header or the form."""
        extra = start_extra_fields("file_upload")
        provider = self._names.find(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider))
        form = UploadForm(
            request.headers,
            body_decoder(request),
            gateway.UploadUnifiedFile,
            names=self._names,
            provider=provider,
            default=self._names.default,
            places=PLACES_OF_UPLOAD,
            ignored=request[OPERATION].ignored,
        )
        file = await request.app[FILES].upload(request[WORKSPACE], pieces(request, MAX_BODY), form)
        note_ignored(request, form.sent)
        return view.unified_file(file, file.provider, extra)

    async def list_unified_files(
        self, request: web.Request, parameters: parameters.ListUnifiedFilesParameters
    ) -> gateway.UnifiedFileList:
        """List the files of a provider."""
        extra = start_extra_fields("file_list")
        provider = self._names.find_or_default(
            value_or_none(parameters.provider), value_or_none(parameters.x_model_provider), PLACES
        )
        page = await request.app[FILES].list(
            request[WORKSPACE],
            after=value_or_none(parameters.after),
            ascending=parameters.order == "asc",
            purpose=value_or_none(parameters.purpose),
            provider=provider,
            limit=min(MAX_PAGE, value_or_none(parameters.limit) or MAX_PAGE),
        )
        return view.unified_file_list(page, provider, extra)

    async def retrieve_unified_file(
        self, request: web.Request, parameters: parameters.RetrieveUnifiedFileParameters
    ) -> gateway.UnifiedFile:
        """Retrieve a file object."""
        extra = start_extra_fields("file_retrieve")
        named, provider = self._provider(parameters)
        file = await request.app[FILES].find(request[WORKSPACE], parameters.file_id, provider=named)
        return view.unified_file(file, provider, extra)

    async def delete_unified_file(
        self, request: web.Request, parameters: parameters.DeleteUnifiedFileParameters
    ) -> gateway.DeletedUnifiedFile:
        """Delete a file and its content."""
        extra = start_extra_fields("file_delete")
        named, provider = self._provider(parameters)
        file = await request.app[FILES].delete(request[WORKSPACE], parameters.file_id, provider=named)
        return view.deleted_unified_file(file, provider, extra)

    async def download_unified_file(
        self, request: web.Request, parameters: parameters.DownloadUnifiedFileParameters
    ) -> web.StreamResponse:
        """Download the content of a file."""
        named, _ = self._provider(parameters)
        file, content = await request.app[FILES].open(request[WORKSPACE], parameters.file_id, provider=named)
        return await send_file(request, self._blobs, file, content)

    def _provider(self, parameters: _OfOneFile) -> tuple[str | None, str]:
        """Return the provider that the caller names, which the file must have, and that or else the default account."""
        named = self._names.find(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider))
        return named, self._names.find_or_default(named, None, PLACES)
