"""Files on the Anthropic surface: the files of the other surfaces, in Anthropic's shape and with its paging."""

import hashlib
from base64 import b64encode
from io import BytesIO
from typing import Any

import pytest

from tests.support.error_responses import check_anthropic_error
from tests.support.openai_batches import chat_line, create, wait_for_final_status
from tests.support.running_app import RunningApp
from tests.support.uploads import (
    BATCH_LINE,
    INVALID,
    MULTIPART,
    OPENAI,
    UNIFIED,
    check_nothing_stored,
    file_part,
    form,
    part,
    upload,
)

FILES = "/anthropic/v1/files"
BETA = {"anthropic-beta": "files-api-2025-04-14"}


def typed_part(content: bytes, filename: str, media_type: str | None) -> bytes:
    headers = [] if media_type is None else [f"Content-Type: {media_type}"]
    return part("file", content, filename=filename, headers=headers)


async def upload_names(app: RunningApp, names: str) -> dict[str, str]:
    """Upload a file for each letter, and return their ids by name."""
    return {name: (await upload(app, file_part(b"x", name), path=FILES))["id"] for name in names}


async def page(app: RunningApp, **query: Any) -> tuple[str, bool, str | None]:
    """Read a page; return the names on it, has_more and the cursor of the next page."""
    status, answer = await app.call("GET", FILES, params=query)
    assert status == 200, answer
    assert answer.keys() == {"data", "has_more", "first_id", "last_id", "next_page"}
    ids = [file["id"] for file in answer["data"]]
    assert (answer["first_id"], answer["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return "".join(file["filename"] for file in answer["data"]), answer["has_more"], answer["next_page"]


async def expect_error(
    app: RunningApp,
    method: str,
    path: str,
    *,
    expected: tuple[int, str] = (400, INVALID),
    code: str | None = None,
    **options: Any,
) -> str:
    async with app.client.request(method, app.url + path, **options) as response:
        return check_anthropic_error(
            response.status, response.headers, await response.read(), expected=expected, code=code
        )


@pytest.mark.parametrize("beta", [{}, BETA], ids=["without a beta header", "with it"])
async def test_a_file_is_uploaded_shown_downloaded_and_deleted(gateway: RunningApp, beta: dict[str, str]) -> None:
    gateway.client.headers.update(beta)
    file = await upload(gateway, typed_part(b"%PDF", "report.pdf", "application/pdf"), path=FILES)
    assert file == {
        "id": file["id"],
        "type": "file",
        "filename": "report.pdf",
        "mime_type": "application/pdf",
        "size_bytes": 4,
        "created_at": "2026-11-18T11:06:40.000000Z",
        "expires_at": None,
        "downloadable": True,
    }
    assert await gateway.call("GET", f"{FILES}/{file['id']}") == (200, file)
    assert (await gateway.call("GET", FILES))[1]["data"] == [file]
    async with gateway.client.get(f"{gateway.url}{FILES}/{file['id']}/content") as response:
        assert (response.status, await response.read()) == (200, b"%PDF")
        assert response.headers["repr-digest"] == f"sha-256=:{b64encode(hashlib.sha256(b'%PDF').digest()).decode()}:"
    assert await gateway.call("DELETE", f"{FILES}/{file['id']}") == (200, {"id": file["id"], "type": "file_deleted"})
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        message = await expect_error(gateway, method, f"{FILES}/{file['id']}{path}", expected=(404, "not_found_error"))
        assert message == f"There is no file {file['id']!r} in this workspace."
    await check_nothing_stored(gateway)


@pytest.mark.parametrize(
    ("filename", "stated", "shown"),
    [
        pytest.param("notes.txt", "text/markdown", "text/markdown", id="stated"),
        pytest.param("notes.txt", "Text/Plain; charset=utf-8", "text/plain", id="with a parameter"),
        pytest.param("image.png", None, "image/png", id="none"),
        pytest.param("image.PNG", "application/octet-stream", "image/png", id="one that says nothing"),
        pytest.param("image.png", "no media type", "image/png", id="no media type"),
        pytest.param("requests.jsonl", None, "application/x-jsonl", id="JSONL"),
        pytest.param("data", None, "application/octet-stream", id="none, and no suffix"),
        pytest.param("data.unheard", "application/octet-stream", "application/octet-stream", id="unknown suffix"),
    ],
)
async def test_the_mime_type_is_the_stated_one_or_else_that_of_the_name(
    gateway: RunningApp, filename: str, stated: str | None, shown: str
) -> None:
    file = await upload(gateway, typed_part(b"x", filename, stated), path=FILES)
    assert file["mime_type"] == shown
    assert (await gateway.call("GET", f"{FILES}/{file['id']}"))[1]["mime_type"] == shown


async def test_each_surface_shows_the_files_of_the_others(gateway: RunningApp) -> None:
    mine = await upload(gateway, file_part(b"x", "a"), path=FILES)
    status, shown = await gateway.call("GET", f"{OPENAI}/{mine['id']}")
    assert (status, shown["filename"], shown["purpose"], shown["expires_at"]) == (200, "a", "user_data", None)
    assert (await gateway.call("GET", f"{UNIFIED}/{mine['id']}?provider=anthropic"))[0] == 200
    theirs = await upload(gateway, part("purpose", "batch"), file_part())
    status, shown = await gateway.call("GET", f"{FILES}/{theirs['id']}")
    assert (status, shown["size_bytes"], shown["mime_type"]) == (200, len(BATCH_LINE), "application/x-jsonl")
    assert shown["expires_at"] == "2026-12-18T11:06:40.000000Z"
    assert (await page(gateway))[0] == "a.jsonla"
    assert (await gateway.call("DELETE", f"{FILES}/{theirs['id']}"))[0] == 200
    assert (await gateway.call("GET", f"{OPENAI}/{theirs['id']}"))[0] == 404


async def test_a_file_for_a_batch_runs_as_one_and_its_results_are_files_too(gateway: RunningApp) -> None:
    batch = await create(gateway, chat_line("a"), chat_line("b", 1))
    ended = await wait_for_final_status(gateway, batch["id"])
    for part_id, name in ((ended["output_file_id"], "output"), (ended["error_file_id"], "error")):
        status, file = await gateway.call("GET", f"{FILES}/{part_id}")
        assert (status, file["filename"], file["downloadable"]) == (200, f"{batch['id']}_{name}.jsonl", True)
        async with gateway.client.get(f"{gateway.url}{FILES}/{part_id}/content") as response:
            assert (response.status, len(await response.read())) == (200, file["size_bytes"])
    messages = await gateway.create("a")
    await gateway.ended(messages["id"])
    view = f"file-output-{messages['id']}"
    status, file = await gateway.call("GET", f"{FILES}/{view}")
    assert (status, file["id"]) == (200, view)
    assert file["size_bytes"] > 0
    assert (await gateway.call("GET", FILES, params={"ids[]": view}))[1]["data"] == [file]
    assert "is a view of batch" in await expect_error(gateway, "DELETE", f"{FILES}/{view}")


async def test_the_fields_of_a_form_set_name_purpose_and_expiry(gateway: RunningApp) -> None:
    fields = [part("expires_in_seconds", "7776000"), part("filename", "in/a/folder/b.jsonl"), part("purpose", "batch")]
    file = await upload(gateway, fields[0], file_part(), *fields[1:], path=FILES)
    assert (file["filename"], file["expires_at"]) == ("b.jsonl", "2027-02-16T11:06:40.000000Z")
    assert (await gateway.call("GET", f"{OPENAI}/{file['id']}"))[1]["purpose"] == "batch"
    gateway.clock.move(7776000)
    assert (await gateway.call("GET", f"{FILES}/{file['id']}"))[0] == 404
    assert (await page(gateway))[0] == ""


@pytest.mark.parametrize(
    ("parts", "message", "code"),
    [
        pytest.param([], "file: Field required", "missing_required_parameter", id="no file"),
        pytest.param([file_part(b"")], "file: the file is empty", "empty_file", id="empty"),
        pytest.param(
            [part("expires_in_seconds", "3599"), file_part()],
            "expires_in_seconds: Input should be greater than or equal to 3600",
            None,
            id="expires too early",
        ),
        pytest.param(
            [part("expires_in_seconds", "7776001"), file_part()],
            "expires_in_seconds: Input should be less than or equal to 7776000",
            None,
            id="expires too late",
        ),
        pytest.param(
            [part("purpose", "batch_output"), file_part()],
            "purpose: Input should be one of assistants, batch, fine-tune, vision, user_data, evals, "
            "not 'batch_output'",
            None,
            id="purpose",
        ),
        pytest.param(
            [part("purpose", "batch"), file_part(filename="a.pdf")],
            "file: the input file of a batch must be named *.jsonl, not 'a.pdf'",
            "invalid_file_format",
            id="a batch file of another kind",
        ),
        pytest.param(
            [part("colour", "red"), file_part()],
            "colour: it is not a field of an upload; those are file, filename, purpose, expires_in_seconds",
            "unknown_parameter",
            id="unknown field",
        ),
    ],
)
async def test_a_wrong_upload_is_refused_by_name_and_leaves_nothing(
    gateway: RunningApp, parts: list[bytes], message: str, code: str | None
) -> None:
    data = BytesIO(form(*parts))
    assert await expect_error(gateway, "POST", FILES, data=data, headers=MULTIPART, code=code) == message
    await check_nothing_stored(gateway)


async def test_a_provider_of_an_upload_is_named_in_the_header_and_filters_lists(gateway: RunningApp) -> None:
    await upload(gateway, file_part(b"x", "a"), path=FILES)
    await upload(gateway, file_part(b"x", "b"), path=FILES, headers={"x-model-provider": "openai"})
    for provider, names in (("anthropic", "a"), ("openai", "b")):
        _, answer = await gateway.call("GET", FILES, headers={"x-model-provider": provider})
        assert [file["filename"] for file in answer["data"]] == [names]
    assert (await page(gateway))[0] == "ba"
    options: dict[str, Any] = {"data": BytesIO(form(file_part())), "headers": MULTIPART | {"x-model-provider": "none"}}
    message = await expect_error(gateway, "POST", FILES, **options)
    assert message.startswith("x-model-provider: 'none' is not configured; configured: ")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("style", ["after_id", "page"])
async def test_paging_forward_returns_every_file_once_newest_first(gateway: RunningApp, limit: int, style: str) -> None:
    ids = await upload_names(gateway, "abcde")
    walked, query = [], dict[str, Any](limit=limit)
    while True:
        names, more, cursor = await page(gateway, **query)
        walked.append(names)
        assert (cursor is not None) == more
        if not more:
            break
        query[style] = cursor if style == "page" else ids[names[-1]]
    assert "".join(walked) == "edcba"
    assert all(len(names) == limit for names in walked[:-1])


async def test_a_page_before_a_file_has_the_nearest_newer_files(gateway: RunningApp) -> None:
    ids = await upload_names(gateway, "abcde")
    assert await page(gateway, limit=2, before_id=ids["a"]) == ("cb", True, None)
    assert await page(gateway, limit=2, before_id=ids["c"]) == ("ed", False, None)
    assert await page(gateway, limit=2, before_id=ids["e"]) == ("", False, None)


async def test_two_cursors_return_the_files_strictly_between_them(gateway: RunningApp) -> None:
    ids = await upload_names(gateway, "abcde")
    assert await page(gateway, after_id=ids["e"], before_id=ids["a"]) == ("dcb", False, None)
    names, more, cursor = await page(gateway, after_id=ids["e"], before_id=ids["b"], limit=1)
    assert (names, more) == ("d", True)
    assert await page(gateway, page=cursor, before_id=ids["b"], limit=1) == ("c", False, None)
    assert await page(gateway, after_id=ids["b"], before_id=ids["d"]) == ("", False, None)


async def test_a_cursor_stays_valid_when_its_file_is_deleted(gateway: RunningApp) -> None:
    ids = await upload_names(gateway, "abc")
    await gateway.call("DELETE", f"{FILES}/{ids['b']}")
    assert (await page(gateway, after_id=ids["b"]))[0] == "a"
    assert (await page(gateway, before_id=ids["b"]))[0] == "c"


async def test_a_list_by_ids_returns_those_that_exist_newest_first(gateway: RunningApp) -> None:
    ids = await upload_names(gateway, "abc")
    query = [("ids[]", ids["a"]), ("ids[]", "file-nobody"), ("ids[]", ids["c"]), ("ids[]", ids["a"])]
    status, answer = await gateway.call("GET", FILES, params=query)
    assert (status, [file["filename"] for file in answer["data"]]) == (200, ["c", "a"])
    assert (answer["has_more"], answer["next_page"]) == (False, None)
    many = [("ids[]", f"file-{number}") for number in range(101)]
    assert (await gateway.call("GET", FILES, params=many[:100]))[1]["data"] == []
    assert await expect_error(gateway, "GET", FILES, params=many) == "ids: there may be at most 100, not 101"


async def test_no_file_has_a_scope(gateway: RunningApp) -> None:
    await upload_names(gateway, "a")
    assert await page(gateway, scope_id="session_01") == ("", False, None)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param({"limit": 0}, "limit: Input should be greater than or equal to 1", id="limit 0"),
        pytest.param({"limit": 1001}, "limit: Input should be less than or equal to 1000", id="limit 1001"),
        pytest.param({"after_id": "file-x"}, "after_id: there is no file 'file-x' to page from", id="after_id"),
        pytest.param({"before_id": "file-x"}, "before_id: there is no file 'file-x' to page from", id="before_id"),
        pytest.param({"page": "page_file-x"}, "page: there is no file 'file-x' to page from", id="page"),
        pytest.param(
            {"page": "page_x", "after_id": "x"},
            "page: it means the same as after_id; send only one of them",
            id="page and after_id",
        ),
        pytest.param(
            {"ids[]": "x", "limit": 5}, "limit: a list by ids is a single page; leave it out", id="ids and limit"
        ),
    ],
)
async def test_a_wrong_list_is_refused_by_name(gateway: RunningApp, query: dict[str, Any], message: str) -> None:
    assert await expect_error(gateway, "GET", FILES, params=query) == message


async def test_the_root_of_the_gateway_has_the_files_of_the_unified_surface(gateway: RunningApp) -> None:
    file = await upload(gateway, file_part(b"x", "a"), path="/anthropic/v1/v1/files")
    assert (await page(gateway))[0] == "a"
    status, answer = await gateway.call("GET", f"/v1/files/{file['id']}")
    assert (status, answer["object"]) == (200, "file")
