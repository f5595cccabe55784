"""The Files of the official Anthropic SDK, sync and async, against a live gateway.

The tests session runs this suite with the newest release of the SDK, whose lists have the cursor `next_page`; the sdk
session with older releases, whose lists have `first_id` and `last_id`.
"""

from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from tests.acceptance.conftest import API_KEY
from tests.support.gateway_process import GatewayProcess

BETAS: list[Any] = ["files-api-2025-04-14"]
CONTENT = b"%PDF-1.7"

pytestmark = pytest.mark.skipif(
    not hasattr(anthropic.resources.beta, "Files"), reason="this release of the SDK has no files"
)


@pytest.fixture(params=["/anthropic", "/anthropic/v1"], ids=["anthropic", "doubled-v1"])
def client(request: pytest.FixtureRequest, gateway: GatewayProcess) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url + request.param, api_key=API_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(gateway: GatewayProcess) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=f"{gateway.url}/anthropic", api_key=API_KEY, max_retries=0) as client:
        yield client


def delete_all(client: Anthropic) -> None:
    for file in list(client.beta.files.list(limit=1000)):
        client.beta.files.delete(file.id)


def test_the_beta_client_uploads_shows_downloads_and_deletes_a_file(client: Anthropic) -> None:
    files = client.beta.files
    uploaded = files.upload(file=("report.pdf", BytesIO(CONTENT), "application/pdf"))
    assert (uploaded.filename, uploaded.mime_type, uploaded.size_bytes) == ("report.pdf", "application/pdf", 8)
    assert (uploaded.type, uploaded.downloadable) == ("file", True)
    assert files.retrieve_metadata(uploaded.id, betas=BETAS) == uploaded
    assert files.download(uploaded.id).read() == CONTENT
    assert uploaded in list(files.list(betas=BETAS))
    deleted = files.delete(uploaded.id)
    assert (deleted.id, deleted.type) == (uploaded.id, "file_deleted")
    with pytest.raises(anthropic.NotFoundError, match="There is no file"):
        files.retrieve_metadata(uploaded.id)


def test_bytes_without_a_name_are_a_file_too(client: Anthropic) -> None:
    uploaded = client.beta.files.upload(file=BytesIO(CONTENT))
    assert (uploaded.filename, uploaded.mime_type) == ("upload", "application/octet-stream")


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_auto_paging_returns_every_file_once_newest_first(client: Anthropic, limit: int) -> None:
    delete_all(client)
    ids = [client.beta.files.upload(file=(f"{number}.txt", CONTENT)).id for number in range(5)]
    assert [file.id for file in client.beta.files.list(limit=limit)] == ids[::-1]


def test_the_sdk_raises_its_typed_exceptions(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="the file is empty") as caught:
        client.beta.files.upload(file=("a.txt", b""))
    assert caught.value.response.headers["request-id"].startswith("req_")
    with pytest.raises(anthropic.BadRequestError, match="limit: Input should be"):
        client.beta.files.list(limit=1001)
    with pytest.raises(anthropic.NotFoundError):
        client.beta.files.download("file-nobody")
    with pytest.raises(anthropic.NotFoundError):
        client.beta.files.delete("file-nobody")


@pytest.mark.skipif(not hasattr(anthropic.resources, "Files"), reason="files are a beta in this release of the SDK")
def test_the_newest_release_has_files_outside_of_the_beta_with_expiry_and_lists_by_ids(client: Anthropic) -> None:
    files = client.files
    uploaded = files.upload(file=("a.txt", CONTENT), expires_in_seconds=3600)
    assert uploaded.expires_at is not None
    assert abs((uploaded.expires_at - uploaded.created_at).total_seconds() - 3600) < 1
    other = files.upload(file=("b.txt", CONTENT))
    assert [file.id for file in files.list(ids=[uploaded.id, "file-nobody", other.id])] == [other.id, uploaded.id]
    assert list(client.beta.files.list(scope_id="session_01")) == []
    with files.with_streaming_response.download(uploaded.id) as response:
        assert b"".join(response.iter_bytes()) == CONTENT


async def test_all_five_operations_work_with_the_async_client(async_client: AsyncAnthropic) -> None:
    files = async_client.beta.files
    uploaded = await files.upload(file=("notes.txt", CONTENT))
    assert (await files.retrieve_metadata(uploaded.id)).mime_type == "text/plain"
    assert uploaded.id in [file.id async for file in files.list(limit=1)]
    assert await (await files.download(uploaded.id)).read() == CONTENT
    assert (await files.delete(uploaded.id)).id == uploaded.id
    with pytest.raises(anthropic.NotFoundError):
        await files.download(uploaded.id)
