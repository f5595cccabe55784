"""Files with the official OpenAI SDK, sync and async, against a live gateway.

The tests session runs this suite with the newest release of the SDK, the sdk session with an older release.
"""

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.acceptance.conftest import API_KEY
from tests.support.gateway_process import GatewayProcess

LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'
DAY = 24 * 3600


@pytest.fixture(params=["/openai/v1", "/openai"])
def client(request: pytest.FixtureRequest, gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.url + request.param, api_key=API_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(gateway: GatewayProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.url}/openai/v1", api_key=API_KEY, max_retries=0) as client:
        yield client


def delete_all(client: OpenAI) -> None:
    for file in list(client.files.list()):
        client.files.delete(file.id)


def test_the_sdk_uploads_retrieves_downloads_and_deletes_a_file(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(LINE * 1000)
    created = client.files.create(file=path, purpose="batch")
    assert created.id.startswith("file-")
    assert (created.object, created.filename, created.purpose) == ("file", "requests.jsonl", "batch")
    assert (created.bytes, created.status) == (len(LINE) * 1000, "processed")
    assert created.expires_at is not None
    assert created.expires_at - created.created_at == 30 * DAY
    assert client.files.retrieve(created.id) == created
    assert client.files.wait_for_processing(created.id) == created
    assert client.files.content(created.id).read() == LINE * 1000
    with client.files.with_streaming_response.content(created.id) as response:
        assert b"".join(response.iter_bytes()) == LINE * 1000
    deleted = client.files.delete(created.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (created.id, "file", True)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(created.id)


def test_the_storage_of_another_provider_in_an_upload_is_ignored_and_named(client: OpenAI) -> None:
    s3 = {"bucket": "a-bucket", "region": "us-west-2", "prefix": "folder"}
    extras = {"provider": "bedrock", "storage_config": {"s3": s3}}
    raw = client.files.with_raw_response.create(file=("a.jsonl", LINE), purpose="batch", extra_body=extras)
    assert "ignored: storage_config[s3][bucket], storage_config[s3][region]" in raw.headers["Warning"]
    created = raw.parse()
    assert client.files.content(created.id).read() == LINE
    listed = client.files.list(extra_query={"provider": "bedrock", "storage_config": {"s3": s3}})
    assert created.id in [file.id for file in listed]


@pytest.mark.parametrize(
    ("file", "filename"),
    [
        pytest.param(LINE, "upload", id="bytes"),
        pytest.param(io.BytesIO(LINE), "upload", id="file object"),
        pytest.param(('läufe 漢字 "1".jsonl', LINE), 'läufe 漢字 "1".jsonl', id="name and bytes"),
        pytest.param(("a.jsonl", io.BytesIO(LINE), "application/jsonl"), "a.jsonl", id="name, stream and type"),
    ],
)
def test_the_gateway_accepts_every_kind_of_file_argument_of_the_sdk(client: OpenAI, file: Any, filename: str) -> None:
    if isinstance(file, io.BytesIO):
        file.seek(0)
    elif isinstance(file, tuple) and isinstance(file[1], io.BytesIO):
        file[1].seek(0)
    created = client.files.create(file=file, purpose="batch")
    assert (created.filename, created.bytes) == (filename, len(LINE))
    assert client.files.content(created.id).read() == LINE


def test_an_upload_selects_the_expiry_and_the_provider_of_the_file(client: OpenAI) -> None:
    created = client.files.create(
        file=("notes.txt", b"text"),
        purpose="user_data",
        extra_body={"expires_after": {"anchor": "created_at", "seconds": 3600}, "provider": "anthropic"},
    )
    assert created.expires_at is not None
    assert created.expires_at - created.created_at == 3600
    assert created.id in [file.id for file in client.files.list(extra_query={"provider": "anthropic"})]
    assert created.id not in [file.id for file in client.files.list(extra_query={"provider": "openai"})]
    assert client.files.create(file=("notes.txt", b"text"), purpose="user_data").expires_at is None


@pytest.mark.parametrize("limit", [1, 2, 5, 10_000])
def test_auto_paging_returns_every_file_once_in_both_orders(client: OpenAI, limit: int) -> None:
    delete_all(client)
    ids = [client.files.create(file=("a.txt", b"a"), purpose="user_data").id for _ in range(5)]
    other = client.files.create(file=("a.jsonl", LINE), purpose="batch").id
    files = client.files
    # Releases before 1.60 have no parameters for paging, so extra_query passes them.
    assert [file.id for file in files.list(extra_query={"limit": limit})] == [other, *ids[::-1]]
    assert [file.id for file in files.list(extra_query={"limit": limit, "order": "asc"})] == [*ids, other]
    assert [file.id for file in files.list(purpose="user_data", extra_query={"limit": limit})] == ids[::-1]
    assert [file.id for file in files.list(extra_query={"limit": limit, "after": ids[2]})][:2] == ids[1::-1]


def test_the_sdk_raises_its_typed_exceptions(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no file 'file-nobody'") as missing:
        client.files.retrieve("file-nobody")
    assert (missing.value.type, missing.value.param, missing.value.code) == ("invalid_request_error", "id", None)
    assert str(missing.value.request_id).startswith("req_")
    wrong: Any = "search"
    with pytest.raises(openai.BadRequestError, match="assistants, batch, fine-tune") as purpose:
        client.files.create(file=("a.txt", b"a"), purpose=wrong)
    assert (purpose.value.param, purpose.value.code) == ("purpose", "invalid_value")
    with pytest.raises(openai.BadRequestError) as empty:
        client.files.create(file=("a.jsonl", b""), purpose="batch")
    assert (empty.value.param, empty.value.code) == ("file", "empty_file")
    with pytest.raises(openai.BadRequestError, match="no file 'file-nobody' to page from") as cursor:
        client.files.list(extra_query={"after": "file-nobody"})
    assert cursor.value.param == "after"
    unauthorized = OpenAI(base_url=str(client.base_url), api_key="wrong", max_retries=0)
    with unauthorized, pytest.raises(openai.AuthenticationError) as unknown:
        unauthorized.files.list()
    assert unknown.value.code == "invalid_api_key"


async def test_all_five_operations_work_with_the_async_client(async_client: AsyncOpenAI) -> None:
    files = async_client.files
    created = await files.create(file=("a.jsonl", LINE), purpose="batch")
    second = await files.create(file=io.BytesIO(LINE), purpose="batch")
    assert await files.retrieve(created.id) == created
    assert (await files.content(created.id)).read() == LINE
    listed = [file.id async for file in files.list(extra_query={"limit": 1})]
    assert listed.index(second.id) < listed.index(created.id)
    assert (await files.delete(created.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await files.content(created.id)
