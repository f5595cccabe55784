"""The five Files operations, as the OpenAI SDKs call them."""

from __future__ import annotations

from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import FILES, OPERATION, WORKSPACE
from batchgate.api.downloads import send_file
from batchgate.api.ignored_fields import note_ignored
from batchgate.api.openai.view import file_list, file_object
from batchgate.api.provider_names import ProviderNames
from batchgate.api.request_body import body_decoder, pieces
from batchgate.api.upload_form import MAX_BODY, UploadForm
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import openai, parameters

DEFAULT_LIMIT = 10_000
DEFAULT_PROVIDER = "openai"


class FilesHandler:
    """`FilesHandlers` on the engine."""

    def __init__(self, blobs: Blobs, names: ProviderNames) -> None:
        self._blobs = blobs
        self._names = names

    async def create_file(
        self,
        request: web.Request,
        parameters: parameters.CreateFileParameters,  # noqa: ARG002
    ) -> openai.FileObject:
        """Upload a file."""
        form = UploadForm(
            request.headers,
            body_decoder(request),
            openai.CreateFile,
            names=self._names,
            default=DEFAULT_PROVIDER,
            ignored=request[OPERATION].ignored,
        )
        file = await request.app[FILES].upload(request[WORKSPACE], pieces(request, MAX_BODY), form)
        note_ignored(request, form.sent)
        return file_object(file)

    async def list_files(self, request: web.Request, parameters: parameters.ListFilesParameters) -> openai.FileList:
        """List files in the order of upload."""
        page = await request.app[FILES].list(
            request[WORKSPACE],
            after=value_or_none(parameters.after),
            ascending=parameters.order == "asc",
            purpose=value_or_none(parameters.purpose),
            provider=self._names.find(value_or_none(parameters.provider), value_or_none(parameters.x_model_provider)),
            limit=value_or_none(parameters.limit) or DEFAULT_LIMIT,
        )
        return file_list(page)

    async def retrieve_file(
        self, request: web.Request, parameters: parameters.RetrieveFileParameters
    ) -> openai.FileObject:
        """Retrieve a file object."""
        return file_object(await request.app[FILES].find(request[WORKSPACE], parameters.file_id))

    async def delete_file(
        self, request: web.Request, parameters: parameters.DeleteFileParameters
    ) -> openai.DeletedFile:
        """Delete a file and its content."""
        file = await request.app[FILES].delete(request[WORKSPACE], parameters.file_id)
        return openai.DeletedFile(id=file.id, object="file", deleted=True)

    async def download_file(
        self, request: web.Request, parameters: parameters.DownloadFileParameters
    ) -> web.StreamResponse:
        """Download the content of a file."""
        file, content = await request.app[FILES].open(request[WORKSPACE], parameters.file_id)
        return await send_file(request, self._blobs, file, content)
