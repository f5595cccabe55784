"""The files of a batch and the views of them: how they are listed, deleted, and downloaded when damaged."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batchgate.settings import ApiKeySettings
from tests.support.blob_storage import ON_FOLDER_AND_BUCKET, BlobStorage
from tests.support.openai_batches import BATCHES, chat_line, create, download_lines, wait_for_final_status
from tests.support.running_app import BATCHES as MESSAGE_BATCHES
from tests.support.running_app import RunningApp, create_body, running_app, simulator
from tests.support.surfaces import UNIFIED_BATCHES
from tests.support.uploads import OPENAI as FILES
from tests.support.uploads import UNIFIED as UNIFIED_FILES

pytestmark = ON_FOLDER_AND_BUCKET

OPENAI = {"provider": "openai"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, accounts={"openai": simulator(), "east": simulator()}) as running:
        yield running


async def create_message_batch(app: RunningApp, **options: Any) -> str:
    batch = await app.create("a", headers={"x-model-provider": "openai"}, **options)
    await app.ended(batch["id"])
    return str(batch["id"])


async def create_mixed_batch(app: RunningApp, **more: Any) -> dict[str, Any]:
    """Run a batch of two requests: the first succeeds, the second fails."""
    return await wait_for_final_status(app, (await create(app, chat_line("a"), chat_line("b", 5), **more))["id"])


async def list_file_ids(app: RunningApp, **query: Any) -> list[str]:
    _, page = await app.call("GET", FILES, params=query)
    return [file["id"] for file in page["data"]]


async def test_file_views_can_be_read_but_are_not_listed_and_cannot_be_deleted(app: RunningApp) -> None:
    batch_id = await create_message_batch(app)
    view = f"{FILES}/file-output-{batch_id}"
    status, file = await app.call("GET", view)
    assert (status, file["purpose"], file["filename"]) == (200, "batch_output", f"{batch_id}_output.jsonl")
    assert [line["custom_id"] for line in await download_lines(app, file["id"])] == ["a"]
    assert await list_file_ids(app) == []
    status, refusal = await app.call("DELETE", view)
    assert (status, refusal["error"]["param"]) == (400, "id")
    assert batch_id in refusal["error"]["message"]
    assert (await app.call("GET", f"{FILES}/file-error-{batch_id}"))[0] == 404
    await app.call("DELETE", f"{MESSAGE_BATCHES}/{batch_id}")
    assert (await app.call("GET", view))[0] == (await app.call("GET", f"{view}/content"))[0] == 404


async def test_a_file_view_of_another_workspace_is_not_found(tmp_path: Path) -> None:
    keys = {name: ApiKeySettings(key=f"sk-{name}", workspace=name) for name in ("mine", "other")}
    async with running_app(tmp_path, api_keys=keys) as app:
        mine, other = ({"Authorization": f"Bearer sk-{name}"} for name in keys)
        _, batch = await app.call("POST", MESSAGE_BATCHES, json=create_body("a"), headers=mine)
        view = f"{FILES}/file-input-{batch['id']}"
        assert (await app.call("GET", view, headers=mine))[0] == 200
        for method, path in (("GET", view), ("GET", f"{view}/content"), ("DELETE", view)):
            assert (await app.call(method, path, headers=other))[0] == 404


async def test_result_files_are_listed_for_every_provider_of_their_batch(app: RunningApp) -> None:
    batch = await create_mixed_batch(app, provider="east")
    for provider in ("openai", "groq"):
        assert await list_file_ids(app, provider=provider, purpose="batch_output") == []
    _, page = await app.call("GET", UNIFIED_FILES, params=OPENAI)
    assert [file["id"] for file in page["data"]] == [batch["input_file_id"]]
    own_batch = await create_mixed_batch(app)
    files = [own_batch["error_file_id"], own_batch["output_file_id"]]
    assert await list_file_ids(app, provider="openai", purpose="batch_output") == files
    status, file = await app.call("GET", f"{UNIFIED_FILES}/{files[0]}", params=OPENAI)
    assert (status, file["extra_fields"]["provider"]) == (200, "openai")


async def test_deleting_the_last_result_file_deletes_the_results_of_the_batch(app: RunningApp) -> None:
    batch = await create_mixed_batch(app)
    results = f"{MESSAGE_BATCHES}/{batch['id']}/results"
    assert (await app.call("DELETE", f"{FILES}/{batch['output_file_id']}"))[0] == 200
    assert len(await app.results(batch["id"])) == 2
    assert (await app.call("DELETE", f"{FILES}/{batch['error_file_id']}"))[0] == 200
    status, gone = await app.call("GET", results)
    assert (status, "its files were deleted" in gone["error"]["message"]) == (404, True)
    assert (await app.call("GET", f"{BATCHES}/{batch['id']}"))[1]["status"] == "completed"


async def test_a_batch_is_listed_for_the_provider_that_its_model_names(app: RunningApp) -> None:
    row = {"custom_id": "a", "body": {"messages": [{"role": "user", "content": "Hello"}]}}
    body = {"model": "east/simulated", "requests": [row]}
    status, batch = await app.call("POST", UNIFIED_BATCHES, json=body, params=OPENAI)
    assert status == 200
    _, page = await app.call("GET", BATCHES, params={"provider": "east"})
    assert [found["id"] for found in page["data"]] == [batch["id"]]


async def test_a_list_shows_the_first_errors_of_a_file_and_a_retrieve_shows_all(app: RunningApp) -> None:
    lines = [chat_line(f"r{number}") | {"method": "GET" * 60} for number in range(3000)]
    batch = await wait_for_final_status(app, (await create(app, *lines))["id"])
    assert [(fault["line"], fault["code"]) for fault in batch["errors"]["data"]] == [
        (number, "invalid_request") for number in range(1, 3001)
    ]
    assert "GETGET" in batch["errors"]["data"][0]["message"]
    assert "earlier lines" in batch["errors"]["data"][-1]["message"]
    _, page = await app.call("GET", BATCHES)
    assert page["data"][0]["errors"]["data"] == batch["errors"]["data"][:10]
    status, refusal = await app.call("GET", f"{MESSAGE_BATCHES}/{batch['id']}/results")
    assert (status, "failed: its input file has faults" in refusal["error"]["message"]) == (404, True)


async def download(app: RunningApp, path: str) -> bytes:
    async with app.client.get(app.url + path) as response:
        assert response.status == 200
        return await response.read()


@pytest.mark.parametrize(("damage", "file"), [("cut", "error_file_id"), ("changed", "output_file_id")])
async def test_a_download_of_a_damaged_result_file_is_aborted_in_every_dialect(
    app: RunningApp, tmp_path: Path, damage: str, file: str
) -> None:
    # Once, the rest of such a file ended like a complete response, or had the JSON of an error in its middle.
    batch = await create_mixed_batch(app)
    (results,) = [name for name in BlobStorage.names(tmp_path) if name.startswith(f"batches/{batch['id']}/results")]
    whole = BlobStorage.read(tmp_path, results)
    BlobStorage.write(tmp_path, results, whole[:-20] if damage == "cut" else whole.replace(b'{"id"', b'["id"', 1))
    for path in (f"{MESSAGE_BATCHES}/{batch['id']}/results", f"{FILES}/{batch[file]}/content"):
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
            await download(app, path)


async def test_a_client_that_disconnects_during_an_upload_is_counted_as_a_client_error(app: RunningApp) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"a" * 65536

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    async def body() -> AsyncIterator[bytes]:
        yield start
        async for piece in endless():
            yield piece

    with pytest.raises(TimeoutError):
        await app.client.post(f"{app.url}{FILES}", data=body(), headers=headers, timeout=aiohttp.ClientTimeout(0.3))
    line = 'batchgate_http_requests_total{operation="createFile",status="400"} 1.0'
    while True:
        async with app.client.get(f"{app.url}/metrics") as response:
            text = await response.text()
        assert 'operation="createFile",status="500"' not in text
        if line in text:
            break
