"""The five file operations of the unified surface, where every call names its provider."""

from __future__ import annotations

from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import FILES, OPERATION, WORKSPACE
from batchgate.api.downloads import send_file
from batchgate.api.ignored_fields import note_ignored
from batchgate.api.request_body import pieces
from batchgate.api.request_errors import allowed_values, refuse_missing
from batchgate.api.unified import file_view as view
from batchgate.api.unified.extra_fields import start_extra_fields
from batchgate.api.upload_form import MAX_BODY, PROVIDER, UploadForm, one_provider
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import gateway, parameters

MAX_PAGE = 10_000
"""Maximum files on a page."""


class UnifiedFilesHandler:
    """`UnifiedFilesHandlers` on the engine."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def upload_unified_file(
        self, request: web.Request, parameters: parameters.UploadUnifiedFileParameters
    ) -> gateway.UnifiedFile:
        """Upload a file for the provider in the query, the header or the form."""
        extra = start_extra_fields("file_upload")
        provider = one_provider(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider))
        form = UploadForm(
            request.headers, gateway.UploadUnifiedFile, provider=provider, ignored=request[OPERATION].ignored
        )
        file = await request.app[FILES].upload(request[WORKSPACE], pieces(request, MAX_BODY), form)
        note_ignored(request, form.sent)
        return view.unified_file(file, file.provider, extra)

    async def list_unified_files(
        self, request: web.Request, parameters: parameters.ListUnifiedFilesParameters
    ) -> gateway.UnifiedFileList:
        """List the files of a provider."""
        extra = start_extra_fields("file_list")
        provider = one_provider(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider))
        if provider is None:
            raise refuse_missing(PROVIDER, allowed_values(type(parameters), PROVIDER))
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
        file = await request.app[FILES].find(request[WORKSPACE], parameters.file_id, provider=parameters.provider)
        return view.unified_file(file, parameters.provider, extra)

    async def delete_unified_file(
        self, request: web.Request, parameters: parameters.DeleteUnifiedFileParameters
    ) -> gateway.DeletedUnifiedFile:
        """Delete a file and its content."""
        extra = start_extra_fields("file_delete")
        file = await request.app[FILES].delete(request[WORKSPACE], parameters.file_id, provider=parameters.provider)
        return view.deleted_unified_file(file, parameters.provider, extra)

    async def download_unified_file(
        self, request: web.Request, parameters: parameters.DownloadUnifiedFileParameters
    ) -> web.StreamResponse:
        """Download the content of a file."""
        files, provider = request.app[FILES], parameters.provider
        file, content = await files.open(request[WORKSPACE], parameters.file_id, provider=provider)
        return await send_file(request, self._blobs, file, content)
