"""The five Files operations, as the Anthropic SDKs call them."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from batchgate.api.anthropic.file_view import PAGE_PREFIX, anthropic_file, anthropic_file_page
from batchgate.api.binding import value_or_none
from batchgate.api.context import FILES, WORKSPACE
from batchgate.api.downloads import send_file
from batchgate.api.provider_names import ProviderNames
from batchgate.api.request_body import body_decoder, pieces
from batchgate.api.upload_form import MAX_BODY, UploadForm
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.file import FilePage
from batchgate.engine.ports.blobs import Blobs
from batchgate_api import anthropic, parameters

DEFAULT_LIMIT: Final = 20
DEFAULT_PROVIDER: Final = "anthropic"
MAX_IDS: Final = 100
"""Ids in one list, as Anthropic documents it."""


class AnthropicFilesHandler:
    """`AnthropicFilesHandlers` on the engine."""

    def __init__(self, blobs: Blobs, names: ProviderNames) -> None:
        self._blobs = blobs
        self._names = names

    async def upload_anthropic_file(
        self, request: web.Request, parameters: parameters.UploadAnthropicFileParameters
    ) -> anthropic.AnthropicFile:
        """Upload a file."""
        provider = self._names.find(None, value_or_none(parameters.x_model_provider)) or DEFAULT_PROVIDER
        form = UploadForm(
            request.headers, body_decoder(request), anthropic.UploadAnthropicFile, names=self._names, provider=provider
        )
        return anthropic_file(await request.app[FILES].upload(request[WORKSPACE], pieces(request, MAX_BODY), form))

    async def list_anthropic_files(
        self, request: web.Request, parameters: parameters.ListAnthropicFilesParameters
    ) -> anthropic.AnthropicFilePage:
        """List files, newest first: by ids, or a page in either paging style."""
        after, before = _after(parameters), value_or_none(parameters.before_id)
        if value_or_none(parameters.scope_id) is not None:
            return anthropic_file_page(FilePage(files=(), has_more=False), backwards=False)
        if ids := _ids(parameters):
            found = await request.app[FILES].find_all(request[WORKSPACE], ids)
            return anthropic_file_page(FilePage(files=tuple(found), has_more=False), backwards=False)
        page = await request.app[FILES].list_around(
            request[WORKSPACE],
            after=after,
            before=before,
            provider=self._names.find(None, value_or_none(parameters.x_model_provider)),
            limit=value_or_none(parameters.limit) or DEFAULT_LIMIT,
            after_name="page" if value_or_none(parameters.page) else "after_id",
            before_name="before_id",
        )
        return anthropic_file_page(page, backwards=before is not None and after is None)

    async def retrieve_anthropic_file(
        self, request: web.Request, parameters: parameters.RetrieveAnthropicFileParameters
    ) -> anthropic.AnthropicFile:
        """Retrieve the metadata of a file."""
        return anthropic_file(await request.app[FILES].find(request[WORKSPACE], parameters.file_id))

    async def delete_anthropic_file(
        self, request: web.Request, parameters: parameters.DeleteAnthropicFileParameters
    ) -> anthropic.DeletedAnthropicFile:
        """Delete a file and its content."""
        file = await request.app[FILES].delete(request[WORKSPACE], parameters.file_id)
        return anthropic.DeletedAnthropicFile(id=file.id, type="file_deleted")

    async def download_anthropic_file(
        self, request: web.Request, parameters: parameters.DownloadAnthropicFileParameters
    ) -> web.StreamResponse:
        """Download the content of a file."""
        file, content = await request.app[FILES].open(request[WORKSPACE], parameters.file_id)
        return await send_file(request, self._blobs, file, content)


def _after(parameters: parameters.ListAnthropicFilesParameters) -> str | None:
    """Return the file after which a page begins, from either of its two parameters."""
    after, page = value_or_none(parameters.after_id), value_or_none(parameters.page)
    if after is not None and page is not None:
        raise RefusedError("invalid_request_error", "page: it means the same as after_id; send only one of them")
    return after if page is None else page.removeprefix(PAGE_PREFIX)


def _ids(parameters: parameters.ListAnthropicFilesParameters) -> list[str]:
    """Return the ids of a list by ids; raises `RefusedError` if there are too many, or paging beside them."""
    given = value_or_none(parameters.ids__)
    if given is None:
        return []
    ids = list(dict.fromkeys(given.split(",")))
    if len(ids) > MAX_IDS:
        raise RefusedError("invalid_request_error", f"ids: there may be at most {MAX_IDS}, not {len(ids)}", param="ids")
    for name in ("limit", "page", "after_id", "before_id"):
        if value_or_none(getattr(parameters, name)) is not None:
            message = f"{name}: a list by ids is a single page; leave it out"
            raise RefusedError("invalid_request_error", message, param=name)
    return ids
