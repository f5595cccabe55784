"""Invalid uploads: each is refused in the envelope of its surface with the invalid field, and nothing is stored."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest

from batchgate.api import request_body
from batchgate.engine.intake import upload_writer
from tests.support.error_responses import check_openai_error
from tests.support.raw_http import raw_connection, request_head
from tests.support.running_app import RunningApp
from tests.support.storage_leaks import find_storage_leaks
from tests.support.uploads import (
    BATCH_LINE,
    CLOSING_BOUNDARY,
    INVALID,
    MULTIPART,
    OPENAI,
    UNIFIED,
    check_nothing_stored,
    expect_error,
    file_part,
    form,
    part,
    valid_form,
)

PURPOSE = part("purpose", "user_data")
MB = 1024 * 1024
FIELDS = "file, purpose, provider, expires_after[anchor], expires_after[seconds], filename, content_type"


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        pytest.param(
            form(file_part()),
            "purpose",
            "missing_required_parameter",
            "purpose: Field required; it must be one of {purposes}",
            id="no purpose",
        ),
        pytest.param(
            valid_form("search"),
            "purpose",
            "invalid_value",
            "purpose: Input should be one of {purposes}, not 'search'",
            id="unknown purpose",
        ),
        pytest.param(form(PURPOSE), "file", "missing_required_parameter", "file: Field required", id="no file"),
        pytest.param(form(PURPOSE, file_part(b"")), "file", "empty_file", "file: the file is empty", id="empty file"),
        pytest.param(
            form(part("purpose", "batch"), file_part(filename="a.csv")),
            "file",
            "invalid_file_format",
            "file: the input file of a batch must be named *.jsonl, not 'a.csv'",
            id="batch input that is no JSONL",
        ),
        pytest.param(
            form(part("purpose", "batch"), file_part(filename="/home/a.jsonl/B.CSV")),
            "file",
            "invalid_file_format",
            "file: the input file of a batch must be named *.jsonl, not 'B.CSV'",
            id="batch input that is no JSONL, in a path and in capital letters",
        ),
        pytest.param(
            valid_form(colour="red"),
            "colour",
            "unknown_parameter",
            f"colour: it is not a field of an upload; those are {FIELDS}",
            id="unknown field",
        ),
        pytest.param(
            form(PURPOSE, PURPOSE, file_part()),
            "purpose",
            "invalid_value",
            "purpose: it is given twice; give it once",
            id="field twice",
        ),
        pytest.param(
            form(PURPOSE, file_part(), file_part()),
            "file",
            "invalid_value",
            "file: it is given twice; give it once",
            id="file twice",
        ),
        pytest.param(
            valid_form(provider="acme"),
            "provider",
            "invalid_value",
            "provider: 'acme' is not configured; configured: simulator",
            id="unknown provider",
        ),
        pytest.param(
            valid_form(**{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"}),
            "expires_after[seconds]",
            "invalid_value",
            "expires_after[seconds]: Input should be greater than or equal to 3600",
            id="expiry too soon",
        ),
        pytest.param(
            valid_form(**{"expires_after[anchor]": "created_at", "expires_after[seconds]": "2592001"}),
            "expires_after[seconds]",
            "invalid_value",
            "expires_after[seconds]: Input should be less than or equal to 2592000",
            id="expiry too late",
        ),
        pytest.param(
            valid_form(**{"expires_after[anchor]": "created_at", "expires_after[seconds]": "soon"}),
            "expires_after[seconds]",
            "invalid_value",
            "expires_after[seconds]: Input should be an integer, not a string",
            id="expiry that is no number",
        ),
        pytest.param(
            valid_form(**{"expires_after[anchor]": "used_at", "expires_after[seconds]": "3600"}),
            "expires_after[anchor]",
            "invalid_value",
            "expires_after[anchor]: Input should be one of created_at, not 'used_at'",
            id="unknown anchor",
        ),
        pytest.param(
            valid_form(**{"expires_after[seconds]": "3600"}),
            "expires_after[anchor]",
            "missing_required_parameter",
            "expires_after[anchor]: Field required",
            id="expiry without its anchor",
        ),
        pytest.param(
            valid_form(**{"expires_after[anchor]": "created_at"}),
            "expires_after[seconds]",
            "missing_required_parameter",
            "expires_after[seconds]: Field required",
            id="anchor without an expiry",
        ),
        pytest.param(
            form(part("purpose", "x" * 1025), file_part()),
            "purpose",
            "invalid_value",
            "purpose: it may have at most 1024 bytes",
            id="long field",
        ),
        pytest.param(
            form(part("purpose", b"\xff"), file_part()),
            "purpose",
            "invalid_value",
            "purpose: it is not UTF-8",
            id="field that is not UTF-8",
        ),
        pytest.param(
            form(PURPOSE, file_part(filename="a\x00b")),
            "file",
            "invalid_value",
            "file: its name may have at most 512 characters, and no control characters",
            id="null in the name",
        ),
        pytest.param(
            form(PURPOSE, file_part(filename="x" * 513)),
            "file",
            "invalid_value",
            "file: its name may have at most 512 characters, and no control characters",
            id="long name",
        ),
        pytest.param(
            form(PURPOSE, part("file", "dGV4dA==", filename="a", headers=["Content-Transfer-Encoding: base64"])),
            "file",
            "invalid_value",
            "file: it has a Content-Transfer-Encoding; send it as it is",
            id="base64",
        ),
    ],
)
@pytest.mark.parametrize("surface", [OPENAI, UNIFIED])
async def test_an_invalid_upload_is_refused_with_the_name_of_the_field(
    gateway: RunningApp, surface: str, *, body: bytes, param: str, code: str, message: str
) -> None:
    purposes = {
        OPENAI: "assistants, batch, fine-tune, vision, user_data, evals",
        UNIFIED: "batch, assistants, fine-tune, vision, batch_output, user_data, responses, evals",
    }[surface]
    where = {} if b"acme" in body or surface == OPENAI else {"x-model-provider": "openai"}
    error = await expect_error(gateway, "POST", surface, param=param, code=code, data=body, headers=MULTIPART | where)
    assert error == message.format(purposes=purposes)
    assert find_storage_leaks(gateway.data_dir) == []
    await check_nothing_stored(gateway)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        pytest.param(b"", None, "it ends before its closing boundary", id="empty"),
        pytest.param(CLOSING_BOUNDARY, None, None, id="no fields"),
        pytest.param(b"hello", None, "it ends before its closing boundary", id="no form"),
        pytest.param(valid_form()[: -len(CLOSING_BOUNDARY)], None, "it ends before its closing boundary", id="no end"),
        pytest.param(valid_form()[:60], None, "it ends before its closing boundary", id="cut in a head"),
        pytest.param(valid_form(), "multipart/form-data", "its Content-Type has no boundary", id="no boundary"),
        pytest.param(
            valid_form(),
            "multipart/form-data; boundary=x",
            "it ends before its closing boundary",
            id="another boundary",
        ),
        pytest.param(valid_form().replace(b"\r\n", b"\n"), None, "its lines end with LF alone", id="LF alone"),
        pytest.param(valid_form().replace(b"\r\n\r\n", b"\n\n"), None, "without CR LF at its end", id="LF in a head"),
        pytest.param(b"x\n" + valid_form(), None, "not at the start of a line", id="LF before the boundary"),
        pytest.param(b"--b-o-u-n-d-a-r-yz\r\n", None, "other bytes follow the first boundary", id="longer boundary"),
        pytest.param(
            form(b"--b-o-u-n-d-a-r-y\r\n\r\nx\r\n"), None, "Missing Content-Disposition", id="part without name"
        ),
        pytest.param(
            form(b"--b-o-u-n-d-a-r-y\r\nContent-Disposition: attachment; name=file\r\n\r\nx\r\n"),
            None,
            "Invalid Content-Disposition",
            id="part that is no field",
        ),
        pytest.param(form(part("x" * 5000)), None, "Maximum segment header length exceeded", id="long head"),
        pytest.param(
            form(part("file", "x", filename="a", headers=["X: y"] * 20)),
            None,
            "Maximum segment header count exceeded",
            id="many heads",
        ),
        pytest.param(
            form(part("file", "x", filename="a", headers=["nocolon"])), None, "without a colon", id="no colon"
        ),
        pytest.param(
            form(b"--b-o-u-n-d-a-r-y\r\n\xff: \xff\r\n\r\n\r\n"), None, "Invalid segment header name", id="no text"
        ),
    ],
)
async def test_a_malformed_form_is_refused(
    gateway: RunningApp, body: bytes, content_type: str | None, reason: str | None
) -> None:
    headers = MULTIPART | ({"Content-Type": content_type} if content_type else {})
    if reason is None:
        await expect_error(
            gateway, "POST", OPENAI, param="file", code="missing_required_parameter", data=body, headers=headers
        )
    else:
        error = await expect_error(gateway, "POST", OPENAI, data=body, headers=headers)
        assert error.startswith("the body is not valid multipart/form-data: ")
        assert reason in error
    await check_nothing_stored(gateway)


@pytest.mark.parametrize(
    "sent", ["application/json", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x"]
)
async def test_a_body_of_another_type_is_refused(gateway: RunningApp, sent: str) -> None:
    error = await expect_error(gateway, "POST", OPENAI, status=415, data=valid_form(), headers={"Content-Type": sent})
    assert error == f"Content-Type: it must be multipart/form-data, and is {sent.partition(';')[0]!r}"


@pytest.mark.parametrize(
    ("encoding", "code"),
    [("br", "request_body_encoding_unsupported"), ("gzip", "request_body_encoding_invalid")],
)
async def test_a_body_that_cannot_be_decoded_is_refused(gateway: RunningApp, encoding: str, code: str) -> None:
    headers = MULTIPART | {"Content-Encoding": encoding}
    await expect_error(gateway, "POST", OPENAI, code=code, data=valid_form(), headers=headers)
    await check_nothing_stored(gateway)


@pytest.mark.parametrize("first", ["purpose", "file"])
async def test_a_file_over_the_limit_of_its_purpose_is_refused(
    gateway: RunningApp, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_writer, "MAX_BATCH_INPUT", 2 * MB)
    monkeypatch.setattr(upload_writer, "MAX_FILE", 3 * MB)
    for purpose, limit in (("batch", 2 * MB), ("user_data", 3 * MB)):
        for size, status in ((limit, 200), (limit + 1, 413)):
            parts = [part("purpose", purpose), file_part(b"x" * size)]
            body = form(*(parts if first == "purpose" else reversed(parts)))
            if status == 200:
                found, file = await gateway.call("POST", OPENAI, data=BytesIO(body), headers=MULTIPART)
                assert (found, file["bytes"]) == (200, limit)
                assert (await gateway.call("DELETE", f"{OPENAI}/{file['id']}"))[0] == 200
            else:
                error = await expect_error(
                    gateway,
                    "POST",
                    OPENAI,
                    status=413,
                    param="file",
                    code="file_too_large",
                    data=BytesIO(body),
                    headers=MULTIPART,
                )
                assert error.endswith(f"may have at most {limit} bytes")
    await check_nothing_stored(gateway)


@pytest.mark.parametrize("boundary", [b"\xff", b'"\xc3\xa4"'])
async def test_a_boundary_that_is_not_text_is_refused_as_a_client_error(gateway: RunningApp, boundary: bytes) -> None:
    body = form(PURPOSE)
    lines = (
        f"Content-Type: multipart/form-data; boundary={boundary.decode('latin-1')}",
        f"Content-Length: {len(body)}",
    )
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(f"POST {OPENAI}", *lines) + body)
        answer = await connection.read_response()
    error = check_openai_error(
        answer.status, answer.headers, answer.body, expected=(400, INVALID), param=None, code=None
    )
    assert "not valid multipart/form-data" in error


async def test_an_upload_with_a_too_large_content_length_is_refused_before_it_is_read(gateway: RunningApp) -> None:
    lines = (f"Content-Type: {MULTIPART['Content-Type']}", f"Content-Length: {513 * MB}")
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(f"POST {OPENAI}", *lines))
        answer = await connection.read_response()
    check_openai_error(answer.status, answer.headers, answer.body, expected=(413, INVALID), param=None, code=None)


async def test_a_small_body_that_decodes_to_more_than_the_limit_is_refused(gateway: RunningApp) -> None:
    def bomb() -> bytes:
        return gzip.compress(form(PURPOSE) + bytes(513 * MB), 1)

    body = await asyncio.to_thread(bomb)
    headers = MULTIPART | {"Content-Encoding": "gzip"}
    error = await expect_error(gateway, "POST", OPENAI, status=413, data=BytesIO(body), headers=headers)
    assert error.endswith("after decoding")


async def test_an_upload_whose_caller_disconnects_leaves_nothing_stored(gateway: RunningApp) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield form(file_part(b"x" * 3 * MB))[:-100]
        await asyncio.Event().wait()

    async def create() -> None:
        async with aiohttp.ClientSession() as client:
            await client.post(gateway.url + OPENAI, data=body(), headers=MULTIPART)

    creating = asyncio.create_task(create())
    while not [path for path in (gateway.data_dir / "blobs").rglob("*") if path.is_file()]:
        await gateway.call("GET", "/health")
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    await check_nothing_stored(gateway)
    assert (await gateway.call("GET", OPENAI))[1]["data"] == []


async def test_a_stalled_upload_times_out_and_leaves_nothing_stored(
    gateway: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "READ_TIMEOUT", 0.05)
    waiting = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield form(file_part(BATCH_LINE * 50_000))[:-100]
        await waiting.wait()

    error = await expect_error(gateway, "POST", OPENAI, status=408, kind="server_error", data=body(), headers=MULTIPART)
    waiting.set()
    assert error.startswith("the body stopped for ")
    await check_nothing_stored(gateway)
