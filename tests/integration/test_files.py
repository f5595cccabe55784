"""Files on both surfaces: uploads, lists, downloads, expiry and workspaces."""

import asyncio
import gzip
import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from batchgate.settings import ApiKeySettings
from tests.support.blob_storage import ON_FOLDER_AND_BUCKET
from tests.support.running_app import RunningApp, running_app
from tests.support.storage_leaks import check_no_storage_leaks, find_storage_leaks
from tests.support.uploads import BATCH_LINE, MULTIPART, OPENAI, UNIFIED, file_part, form, part, upload, valid_form

pytestmark = ON_FOLDER_AND_BUCKET

DAY = 24 * 3600
PURPOSE = part("purpose", "user_data")


async def download(app: RunningApp, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request_headers = {"Accept-Encoding": "identity"} | headers
    async with app.client.get(app.url + path, headers=request_headers, auto_decompress=False) as response:
        return response.status, await response.read(), {key.lower(): value for key, value in response.headers.items()}


async def list_filenames(app: RunningApp, path: str) -> str:
    status, page = await app.call("GET", path)
    assert status == 200, page
    return "".join(file["filename"] for file in page["data"]) + ("+" if page["has_more"] else "")


ANCHOR, SECONDS = part("expires_after[anchor]", "created_at"), part("expires_after[seconds]", "3600")


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((PURPOSE, ANCHOR, SECONDS, file_part()), id="file last"),
        pytest.param((file_part(), PURPOSE, SECONDS, ANCHOR), id="file first"),
        pytest.param((SECONDS, file_part(), ANCHOR, PURPOSE), id="file in the middle"),
    ],
)
async def test_the_fields_of_an_upload_may_come_in_any_order(gateway: RunningApp, parts: tuple[bytes, ...]) -> None:
    file = await upload(gateway, *parts)
    assert file == {
        "id": file["id"],
        "object": "file",
        "bytes": len(BATCH_LINE),
        "created_at": 1_795_000_000,
        "expires_at": 1_795_003_600,
        "filename": "a.jsonl",
        "purpose": "user_data",
        "status": "processed",
        "status_details": None,
    }
    assert (await download(gateway, f"{OPENAI}/{file['id']}/content"))[1] == BATCH_LINE


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\r\n", id="line end"),
        pytest.param(b"\r\n--b-o-u-n-d-a-r", id="almost a boundary"),
        pytest.param(b"\r\n--" * 100_000, id="many beginnings of one"),
        pytest.param(bytes(range(256)) * 5000, id="bytes"),
    ],
)
async def test_the_content_of_a_file_is_stored_byte_for_byte(gateway: RunningApp, content: bytes) -> None:
    file = await upload(gateway, PURPOSE, file_part(content, "a.bin"))
    assert file["bytes"] == len(content)
    assert (await download(gateway, f"{OPENAI}/{file['id']}/content"))[1] == content


async def test_a_compressed_upload_is_decoded(gateway: RunningApp) -> None:
    headers = MULTIPART | {"Content-Encoding": "gzip"}
    body = gzip.compress(form(PURPOSE, file_part(BATCH_LINE * 100_000)))
    status, file = await gateway.call("POST", OPENAI, data=body, headers=headers)
    assert (status, file["bytes"]) == (200, len(BATCH_LINE) * 100_000)


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        pytest.param('filename="läufe 漢.jsonl"', "läufe 漢.jsonl", id="UTF-8"),
        pytest.param("filename*=UTF-8''l%C3%A4ufe.jsonl", "läufe.jsonl", id="RFC 5987"),
        pytest.param('filename="a%22b.jsonl"', 'a"b.jsonl', id="quote as browsers write it"),
        pytest.param('filename="../../etc/passwd"', "passwd", id="relative path"),
        pytest.param('filename="/home/someone/requests.jsonl"', "requests.jsonl", id="Unix path"),
        pytest.param('filename="C:\\Users\\someone\\requests.jsonl"', "requests.jsonl", id="Windows path"),
        pytest.param('filename="someone\\requests.jsonl"', "requests.jsonl", id="relative Windows path"),
        pytest.param("filename*=UTF-8''%2Fhome%2Fl%C3%A4ufe.jsonl", "läufe.jsonl", id="path in RFC 5987"),
        pytest.param('filename="/home/someone/"', "upload", id="path without a name"),
        pytest.param('filename="' + "x" * 600 + '/a.jsonl"', "a.jsonl", id="long path"),
        pytest.param("filename=\"a.jsonl\"; filename*=utf-8''l%C3%A4ufe.jsonl", "läufe.jsonl", id="both"),
        pytest.param(
            'filename="at 3.04\u202fPM \U0001f469\u200d\U0001f52c.png"',
            "at 3.04\u202fPM \U0001f469\u200d\U0001f52c.png",
            id="as on a Mac",
        ),
        pytest.param('filename=""', "upload", id="empty"),
        pytest.param("x=y", "upload", id="none"),
    ],
)
async def test_the_last_part_of_a_filename_is_stored_and_never_used_as_a_path(
    gateway: RunningApp, disposition: str, filename: str
) -> None:
    lines = ("--b-o-u-n-d-a-r-y", f'Content-Disposition: form-data; name="file"; {disposition}', "", "text", "")
    file = await upload(gateway, PURPOSE, "\r\n".join(lines).encode())
    assert file["filename"] == filename
    status, content, headers = await download(gateway, f"{OPENAI}/{file['id']}/content")
    assert (status, content) == (200, b"text")
    assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert headers["x-content-type-options"] == "nosniff"
    assert find_storage_leaks(gateway.data_dir, gateway.database_url) == []


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        pytest.param('filename="café.jsonl"'.encode("latin-1"), "café.jsonl", id="Latin-1"),
        pytest.param('filename="/home/é/à b.jsonl"'.encode("latin-1"), "à b.jsonl", id="Latin-1 path"),
        pytest.param('filename="C:\\é\\à.jsonl"'.encode("latin-1"), "à.jsonl", id="Latin-1 Windows path"),
        pytest.param(b'filename="\xff\xfe.jsonl"', "ÿþ.jsonl", id="no UTF-8"),
        pytest.param(b"filename*=ISO-8859-1''caf%E9.jsonl", "café.jsonl", id="Latin-1 in RFC 5987"),
        pytest.param(b"filename*=UTF-8''%ff", "ÿ", id="RFC 5987 with another charset than it names"),
        pytest.param(b'filename="REQUESTS.JSONL"', "REQUESTS.JSONL", id="capital letters"),
        pytest.param("filename=café.jsonl".encode("latin-1"), "café.jsonl", id="Latin-1 without quotes"),
        pytest.param("filename=läufe 漢.jsonl".encode(), "läufe 漢.jsonl", id="UTF-8 without quotes"),
        pytest.param(
            "filename=/home/é/my requests.jsonl ; x=y".encode(), "my requests.jsonl", id="path without quotes"
        ),
        pytest.param(b"FileName = a(1).jsonl", "a(1).jsonl", id="parentheses without quotes"),
        pytest.param(b"filename=a.jsonl; filename*=UTF-8''caf%C3%A9.jsonl", "café.jsonl", id="both without quotes"),
        pytest.param(
            b"filename*=UTF-8''caf%C3%A9.jsonl; filename=a.jsonl", "café.jsonl", id="both, in the other order"
        ),
        pytest.param(b"filename*=\"UTF-8''caf%C3%A9.jsonl\"", "café.jsonl", id="RFC 5987 in quotes"),
        pytest.param(b'filename="a; filename=b.jsonl"', "a; filename=b.jsonl", id="a name that looks like two"),
        pytest.param(b'filename="requests.Jsonl"', "requests.Jsonl", id="one capital letter"),
    ],
)
async def test_a_batch_file_of_any_charset_and_case_is_stored(
    gateway: RunningApp, disposition: bytes, filename: str
) -> None:
    head = b'--b-o-u-n-d-a-r-y\r\nContent-Disposition: form-data; name="file"; ' + disposition
    file = await upload(gateway, part("purpose", "batch"), head + b"\r\n\r\n" + BATCH_LINE + b"\r\n")

    assert (file["filename"], file["bytes"]) == (filename, len(BATCH_LINE))


@pytest.mark.parametrize("character", ["\u202a", "\u202e", "\u2066", "\u2069", "\x1b", "\x00"])
async def test_a_filename_with_a_character_that_controls_or_turns_text_is_refused(
    gateway: RunningApp, character: str
) -> None:
    body = form(PURPOSE, part("file", "text", filename=f"invoice{character}lnosj.exe"))
    status, answer = await gateway.call("POST", OPENAI, data=body, headers=MULTIPART)
    assert (status, answer["error"]["param"]) == (400, "file")


async def test_a_download_supports_ranges_and_etags_and_returns_its_digest(gateway: RunningApp) -> None:
    content = BATCH_LINE * 1000
    path = f"{OPENAI}/{(await upload(gateway, PURPOSE, file_part(content)))['id']}/content"
    status, body, headers = await download(gateway, path)
    assert (status, body, headers["content-type"]) == (200, content, "application/octet-stream")
    assert headers["repr-digest"] == f"sha-256=:{b64encode(hashlib.sha256(content).digest()).decode()}:"
    status, rest, partial = await download(gateway, path, Range="bytes=10-19")
    assert (status, rest, partial["content-range"]) == (206, content[10:20], f"bytes 10-19/{len(content)}")
    assert (await download(gateway, path, **{"If-None-Match": headers["etag"]}))[0] == 304
    status, body, zipped = await download(gateway, path, **{"Accept-Encoding": "gzip"})
    assert (status, zipped["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == content
    assert "repr-digest" not in zipped


async def test_each_surface_shows_the_files_of_the_other_in_its_own_format(gateway: RunningApp) -> None:
    mine = await upload(gateway)
    theirs = await upload(gateway, PURPOSE, file_part(b"text", "b.txt"), path=f"{UNIFIED}?provider=anthropic")
    status, shown_file = await gateway.call("GET", f"{UNIFIED}/{mine['id']}?provider=openai")
    assert status == 200
    extra = shown_file.pop("extra_fields")
    assert extra == {
        "request_type": "file_retrieve",
        "provider": "openai",
        "latency": extra["latency"],
        "chunk_index": 0,
    }
    shared = {name: mine[name] for name in ("id", "object", "bytes", "created_at", "expires_at", "filename", "purpose")}
    assert shown_file == shared | {"status": "processed", "storage_backend": "api"}
    assert "expires_at" not in theirs
    assert theirs["extra_fields"]["request_type"] == "file_upload"
    status, shown_file = await gateway.call("GET", f"{OPENAI}/{theirs['id']}")
    assert (status, shown_file["filename"], shown_file["expires_at"]) == (200, "b.txt", None)
    status, deleted = await gateway.call("DELETE", f"{UNIFIED}/{theirs['id']}?provider=anthropic")
    assert (status, deleted["id"], deleted["deleted"]) == (200, theirs["id"], True)
    assert (await gateway.call("GET", f"{OPENAI}/{theirs['id']}"))[0] == 404
    assert (await download(gateway, f"{UNIFIED}/{mine['id']}/content?provider=openai"))[1] == BATCH_LINE


@pytest.mark.parametrize(
    ("query", "headers", "parts"),
    [
        pytest.param("?provider=azure", {}, (), id="query"),
        pytest.param("", {"x-model-provider": "azure"}, (), id="header"),
        pytest.param("", {}, (part("provider", "azure"),), id="form"),
        pytest.param("?provider=azure", {"x-model-provider": "azure"}, (part("provider", "azure"),), id="all alike"),
    ],
)
async def test_the_provider_of_an_upload_may_be_named_in_three_places(
    gateway: RunningApp, query: str, headers: dict[str, str], parts: tuple[bytes, ...]
) -> None:
    file = await upload(gateway, file_part(), PURPOSE, *parts, path=UNIFIED + query, headers=headers)
    assert file["extra_fields"]["provider"] == "azure"
    assert await list_filenames(gateway, f"{UNIFIED}?x-model-provider=azure") == "a.jsonl"
    _, page = await gateway.call("GET", UNIFIED, headers={"x-model-provider": "azure"})
    assert [found["id"] for found in page["data"]] == [file["id"]]
    assert await list_filenames(gateway, f"{UNIFIED}?provider=openai") == ""


async def test_a_page_continues_after_its_cursor_and_reports_whether_more_pages_follow(gateway: RunningApp) -> None:
    ids = {}
    for name in "abcde":
        ids[name] = (await upload(gateway, PURPOSE, file_part(b"x", name)))["id"]
    assert await list_filenames(gateway, f"{OPENAI}?limit=2") == "ed+"
    assert await list_filenames(gateway, f"{OPENAI}?limit=2&after={ids['c']}") == "ba"
    assert await list_filenames(gateway, f"{OPENAI}?order=asc&after={ids['c']}") == "de"
    await gateway.call("DELETE", f"{OPENAI}/{ids['c']}")
    assert await list_filenames(gateway, f"{OPENAI}?after={ids['c']}") == "ba"
    assert (
        await list_filenames(gateway, f"{UNIFIED}?provider=openai&limit=3&purpose=user_data&after={ids['e']}") == "dba"
    )
    _, page = await gateway.call("GET", f"{UNIFIED}?provider=openai&limit=1&order=asc")
    assert (page["has_more"], page["after"]) == (True, ids["a"])
    _, page = await gateway.call("GET", f"{UNIFIED}?provider=openai&limit=99999999999999999999")
    assert (page["has_more"], "after" in page, len(page["data"])) == (False, False, 4)
    assert await list_filenames(gateway, f"{OPENAI}?purpose=batch") == ""


async def test_a_file_and_its_content_are_gone_exactly_at_the_expiry_time(gateway: RunningApp) -> None:
    gateway.clock.move(0.7)
    file = await upload(gateway, PURPOSE, ANCHOR, SECONDS, file_part())
    kept_file = await upload(gateway, PURPOSE, file_part())
    assert file["expires_at"] - file["created_at"] == 3600
    gateway.clock.move(3600 - 0.7 - 0.000001)
    assert (await gateway.call("GET", f"{OPENAI}/{file['id']}"))[0] == 200
    gateway.clock.move(0.000001)
    for path in ("", "/content"):
        assert (await gateway.call("GET", f"{OPENAI}/{file['id']}{path}"))[0] == 404
    assert (await gateway.call("DELETE", f"{OPENAI}/{file['id']}"))[0] == 404
    while (gateway.data_dir / "blobs" / "files" / file["id"]).exists():
        await gateway.call("GET", "/health")
    await asyncio.to_thread(check_no_storage_leaks, gateway.data_dir, gateway.database_url)
    gateway.clock.move(1000 * DAY)
    assert (await gateway.call("GET", f"{OPENAI}/{kept_file['id']}"))[0] == 200


@pytest.fixture
def keys() -> dict[str, Any]:
    return {name: ApiKeySettings(key=f"sk-{name}", workspace=name) for name in ("mine", "other")}


async def test_a_file_belongs_to_the_workspace_of_its_key(tmp_path: Path, keys: dict[str, Any]) -> None:
    async with running_app(tmp_path, api_keys=keys) as app:
        mine, other = {"Authorization": "Bearer sk-mine"}, {"Authorization": "Bearer sk-other"}
        file = await upload(app, headers=mine)
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            assert (await app.call(method, f"{OPENAI}/{file['id']}{path}", headers=other))[0] == 404
            unified = f"{UNIFIED}/{file['id']}{path}?provider=openai"
            assert (await app.call(method, unified, headers=other))[0] == 404
        assert (await app.call("GET", OPENAI, headers=other))[1]["data"] == []
        assert (await app.call("GET", f"{OPENAI}?after={file['id']}", headers=other))[0] == 400
        assert (await app.call("GET", OPENAI, headers=mine))[1]["data"] == [file]


async def test_files_survive_a_restart(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        file = await upload(app)
    async with running_app(tmp_path) as app:
        assert await app.call("GET", f"{OPENAI}/{file['id']}") == (200, file)
        assert (await download(app, f"{OPENAI}/{file['id']}/content"))[1] == BATCH_LINE


async def test_an_upload_sent_byte_by_byte_is_accepted(gateway: RunningApp) -> None:
    async def bytewise() -> Any:
        for byte in valid_form():
            yield bytes([byte])

    status, file = await gateway.call("POST", OPENAI, data=bytewise(), headers=MULTIPART)
    assert (status, file["bytes"]) == (200, len(BATCH_LINE))
