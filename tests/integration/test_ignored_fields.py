"""Fields that other gateways document and that have no effect here: accepted, and named in the header Warning."""

from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchgate_api.operations import OPERATIONS
from tests.support import openai_batches, unified_batches
from tests.support.openai_batches import chat_line, create_body, jsonl, upload_lines
from tests.support.running_app import RunningApp, running_app, simulator
from tests.support.unified_batches import chat_rows
from tests.support.uploads import MULTIPART, OPENAI, UNIFIED, expect_error, file_part, form, part

WARNING = '299 batchgate "ignored: {}; the gateway calls providers and stores files itself"'
STORAGE = {"s3": {"bucket": "b", "region": "us-west-2", "prefix": "p"}}
PATHS = {openai_batches.BATCHES: "", unified_batches.BATCHES: "?provider=openai"}
UPLOADS = {OPENAI: "", UNIFIED: "?provider=openai"}
IGNORED = {operation.id: operation.ignored for operation in OPERATIONS if operation.ignored}


async def warning(app: RunningApp, path: str, **options: Any) -> str | None:
    """Make a call that must be accepted, and return its header Warning."""
    async with app.client.post(app.url + path, **options) as response:
        assert response.status == 200, await response.text()
        return response.headers.get("Warning")


@pytest.mark.parametrize(
    "extras",
    [
        pytest.param({"output_s3_uri": "s3://b/o"}, id="results in a bucket"),
        pytest.param({"role_arn": "arn:aws:iam::1:role/x", "job_name": "nightly"}, id="a job of Bedrock"),
        pytest.param({"storage_config": STORAGE}, id="storage"),
        pytest.param({"s3_bucket": "b", "owner": "me", "expiry": 3600}, id="bucket, owner and expiry"),
        pytest.param({"output_folder": {"url": "https://x"}, "display_name": "a"}, id="Azure and Vertex"),
        pytest.param({"owner": None}, id="null"),
        pytest.param({"expiry": {"anchor": "created_at", "seconds": [1, 2]}}, id="any value"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("of", ["requests", "file"])
async def test_extras_of_a_create_are_ignored_and_named(
    tmp_path: Path, path: str, of: str, extras: dict[str, Any]
) -> None:
    async with running_app(tmp_path, accounts={"openai": simulator()}) as app:
        body = {"requests": chat_rows("a"), "model": "simulated"}
        if of == "file":
            body = create_body(await upload_lines(app, jsonl(chat_line("a"))))
        named = [name for name in IGNORED["createBatch"] if name in extras]
        for sent in (body | extras, extras | body):
            assert await warning(app, path + PATHS[path], json=sent) == WARNING.format(", ".join(named))
        assert await warning(app, path + PATHS[path], json=body) is None


@pytest.mark.parametrize("path", PATHS)
async def test_a_field_that_nobody_documents_is_refused_by_name(tmp_path: Path, path: str) -> None:
    async with running_app(tmp_path, accounts={"openai": simulator()}) as app:
        body = {"requests": chat_rows("a"), "role_arn": "x", "role_am": "x"}
        message = await expect_error(
            app, "POST", path + PATHS[path], json=body, param="role_am", code="unknown_parameter"
        )
        assert message == "role_am: Extra inputs are not permitted"


async def test_extras_are_no_part_of_what_a_repeated_create_compares(gateway: RunningApp) -> None:
    key = {"Idempotency-Key": "one"}
    body = {"requests": chat_rows("a")}
    first = (await gateway.call("POST", openai_batches.BATCHES, json=body, headers=key))[1]
    again = body | {"owner": "me"}
    assert (await gateway.call("POST", openai_batches.BATCHES, json=again, headers=key))[1]["id"] == first["id"]


@pytest.mark.parametrize("path", UPLOADS)
async def test_extras_of_an_upload_are_ignored_and_named(gateway: RunningApp, path: str) -> None:
    names = ["storage_config[s3][bucket]", "storage_config[s3][region]", "s3_bucket", "owner", "expiry"]
    parts = [part(name, "x") for name in names]
    data = BytesIO(form(part("purpose", "batch"), *parts[:2], file_part(), *parts[2:]))
    shown = await warning(gateway, path + UPLOADS[path], data=data, headers=MULTIPART)
    assert shown == WARNING.format(", ".join(names))
    data = BytesIO(form(part("purpose", "batch"), file_part()))
    assert await warning(gateway, path + UPLOADS[path], data=data, headers=MULTIPART) is None


@pytest.mark.parametrize("path", UPLOADS)
async def test_name_and_media_type_of_an_upload_may_be_fields_of_the_form(gateway: RunningApp, path: str) -> None:
    fields = (
        part("purpose", "user_data"),
        part("filename", "a/b.txt"),
        part("content_type", "text/markdown; charset=x"),
    )
    data = BytesIO(form(*fields, file_part()))
    async with gateway.client.post(gateway.url + path + UPLOADS[path], data=data, headers=MULTIPART) as response:
        assert "Warning" not in response.headers
        file = msgspec.json.decode(await response.read())
    assert file["filename"] == "b.txt"
    _, shown = await gateway.call("GET", f"/anthropic/v1/files/{file['id']}")
    assert (shown["filename"], shown["mime_type"]) == ("b.txt", "text/markdown")


def test_all_surfaces_ignore_the_same_fields() -> None:
    assert IGNORED["createBatch"] == IGNORED["createUnifiedBatch"] == IGNORED["validateBatch"]
    assert IGNORED["createFile"] == IGNORED["uploadUnifiedFile"]
    assert IGNORED.keys() == {"createBatch", "createUnifiedBatch", "validateBatch", "createFile", "uploadUnifiedFile"}
