"""Invalid batch calls on the OpenAI surface: each is refused with the invalid field, or fails with every bad line."""

import gzip
from io import BytesIO
from typing import Any

import msgspec
import pytest

from batchgate.api.request_errors import allowed_values
from batchgate_api.gateway import CreateUnifiedBatch
from tests.support.openai_batches import (
    BATCHES,
    CHAT,
    chat_line,
    create_body,
    jsonl,
    upload_lines,
    wait_for_final_status,
)
from tests.support.running_app import RunningApp
from tests.support.uploads import expect_error

JSON = {"Content-Type": "application/json"}
ENDPOINTS = ", ".join(allowed_values(CreateUnifiedBatch, "endpoint"))
WINDOWS = "it must be whole hours or days from 1h to 7d, such as 24h"
REQUIRED, INVALID, UNKNOWN = "missing_required_parameter", "invalid_value", "unknown_parameter"
MB = 1024 * 1024


def body_without(name: str) -> dict[str, Any]:
    return {key: value for key, value in create_body("file-any").items() if key != name}


def body_with(**fields: Any) -> dict[str, Any]:
    return create_body("file-any") | fields


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        pytest.param(
            body_without("input_file_id"), "input_file_id", REQUIRED, "Field required, or requests", id="no file"
        ),
        pytest.param(
            body_without("endpoint"),
            "endpoint",
            REQUIRED,
            f"Field required; it must be one of {ENDPOINTS}",
            id="no endpoint",
        ),
        pytest.param(
            body_without("completion_window"),
            "completion_window",
            REQUIRED,
            "Field required",
            id="no window",
        ),
        pytest.param(
            body_with(endpoint="/v1/moderations"),
            "endpoint",
            INVALID,
            f"Input should be one of {ENDPOINTS}, not '/v1/moderations'",
            id="unknown endpoint",
        ),
        pytest.param(
            body_with(completion_window="169h"),
            "completion_window",
            INVALID,
            WINDOWS,
            id="long window",
        ),
        pytest.param(
            body_with(input_file_id=7),
            "input_file_id",
            INVALID,
            "Input should be a string or null, not an integer",
            id="no id",
        ),
        pytest.param(
            body_with(input_file_id=""),
            "input_file_id",
            REQUIRED,
            "Field required, or requests",
            id="empty id",
        ),
        pytest.param(
            body_with(metadata={str(n): "x" for n in range(17)}),
            "metadata",
            INVALID,
            "Object should have at most 16 entries",
            id="much metadata",
        ),
        pytest.param(
            body_with(metadata={"k" * 65: "x"}),
            "metadata",
            INVALID,
            f"a key may have at most 64 characters, and {'k' * 65!r} has 65",
            id="long key of metadata",
        ),
        pytest.param(
            body_with(metadata={"a": "b", "k": "x" * 513}),
            "metadata.k",
            INVALID,
            "String should have at most 512 characters",
            id="long value of metadata",
        ),
        pytest.param(
            body_with(metadata={"a": "b", "k": 1}),
            "metadata.k",
            INVALID,
            "Input should be a string, not an integer",
            id="metadata that is no text",
        ),
        pytest.param(
            body_with(metadata={"a.b": None}),
            "metadata.a.b",
            INVALID,
            "Input should be a string, not null",
            id="metadata without a value",
        ),
        pytest.param(
            body_with(metadata={"k" * 100: {}}),
            f"metadata.{'k' * 64}…",
            INVALID,
            "Input should be a string, not an object",
            id="metadata with a long key and a wrong value",
        ),
        pytest.param(
            body_with(metadata=[]),
            "metadata",
            INVALID,
            "Input should be an object or null, not an array",
            id="no object",
        ),
        pytest.param(
            body_with(output_expires_after={"anchor": "created_at", "seconds": 3599}),
            "output_expires_after.seconds",
            INVALID,
            "Input should be greater than or equal to 3600",
            id="expiry too soon",
        ),
        pytest.param(
            body_with(output_expires_after={"anchor": "created_at", "seconds": 2592001}),
            "output_expires_after.seconds",
            INVALID,
            "Input should be less than or equal to 2592000",
            id="expiry too late",
        ),
        pytest.param(
            body_with(output_expires_after={"anchor": "used_at", "seconds": 3600}),
            "output_expires_after.anchor",
            INVALID,
            "Input should be one of created_at, not 'used_at'",
            id="unknown anchor",
        ),
        pytest.param(
            body_with(output_expires_after={"seconds": 3600}),
            "output_expires_after.anchor",
            REQUIRED,
            "Field required; it must be one of created_at",
            id="no anchor",
        ),
        pytest.param(body_with(colour="red"), "colour", UNKNOWN, "Extra inputs are not permitted", id="unknown field"),
        pytest.param(
            body_with(provider="acme"),
            "provider",
            INVALID,
            "there is no account 'acme'; configured: simulator",
            id="unknown provider",
        ),
        pytest.param(
            body_with(),
            "input_file_id",
            "file_not_found",
            "there is no file 'file-any' in this workspace",
            id="unknown file",
        ),
    ],
)
async def test_an_invalid_create_is_refused_with_the_name_of_the_field(
    gateway: RunningApp, body: dict[str, Any], param: str, code: str, message: str
) -> None:
    error = await expect_error(gateway, "POST", BATCHES, param=param, code=code, json=body)
    assert error == f"{param}: {message}"
    assert (await gateway.call("GET", BATCHES))[1]["data"] == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "the body is not valid JSON: it ends too early", id="empty"),
        pytest.param(b"{", "the body is not valid JSON: it ends too early", id="cut off"),
        pytest.param(b"file-a", "the body is not valid JSON: invalid character (byte 5)", id="no JSON"),
        pytest.param(b"\xff", "the body is not valid JSON: invalid character (byte 0)", id="bytes"),
        pytest.param(b"[]", "Input should be an object, not an array", id="array"),
        pytest.param(
            b'{"input_file_id": "\\ud83d"}',
            r"the body is not valid JSON: \ud83d is a lone surrogate",
            id="lone surrogate",
        ),
        pytest.param(b'{"endpoint": "\xff"}', "the body is not valid JSON: a string is not UTF-8", id="not UTF-8"),
    ],
)
async def test_a_body_that_is_not_an_object_is_refused(gateway: RunningApp, body: bytes, message: str) -> None:
    assert await expect_error(gateway, "POST", BATCHES, data=BytesIO(body), headers=JSON) == message


@pytest.mark.parametrize("sent", ["text/plain", "multipart/form-data; boundary=x", ""])
async def test_a_body_of_another_type_is_refused(gateway: RunningApp, sent: str) -> None:
    body = msgspec.json.encode(create_body("file-any"))
    error = await expect_error(gateway, "POST", BATCHES, status=415, data=body, headers={"Content-Type": sent})
    assert error.startswith("Content-Type: it must be application/json, and is ")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_body_with_more_than_its_fields_beside_the_requests_is_refused(
    gateway: RunningApp, encoding: str
) -> None:
    large = b" " * MB + msgspec.json.encode(create_body("file-any"))
    data = gzip.compress(large) if encoding == "gzip" else BytesIO(large)
    headers = JSON | {"Content-Encoding": encoding}
    error = await expect_error(gateway, "POST", BATCHES, param="requests", code=INVALID, data=data, headers=headers)
    assert error == "requests: this array must begin within the first 65536 bytes of the body"


@pytest.mark.parametrize(
    ("encoding", "code"),
    [("br", "request_body_encoding_unsupported"), ("gzip", "request_body_encoding_invalid")],
)
async def test_a_body_that_cannot_be_decoded_is_refused(gateway: RunningApp, encoding: str, code: str) -> None:
    body = msgspec.json.encode(create_body("file-any"))
    await expect_error(gateway, "POST", BATCHES, code=code, data=body, headers=JSON | {"Content-Encoding": encoding})


async def test_a_file_with_another_purpose_is_refused(gateway: RunningApp) -> None:
    file_id = await upload_lines(gateway, jsonl(chat_line("a")), purpose="user_data")
    error = await expect_error(
        gateway,
        "POST",
        BATCHES,
        param="input_file_id",
        code="invalid_file_purpose",
        json=create_body(file_id),
    )
    assert error == f"input_file_id: file {file_id!r} is for user_data; upload it with the purpose batch"


async def test_two_different_provider_names_are_refused(gateway: RunningApp) -> None:
    body = create_body("file-any", provider="simulator")
    headers = {"x-model-provider": "other"}
    await expect_error(gateway, "POST", BATCHES, param="provider", code=INVALID, json=body, headers=headers)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel")])
@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("batch_01nobody", "batch_01nobody"),
        ("x" * 128, "x" * 128),
        ("a%2Fb", "a/b"),
        ("a%00b", "a\x00b"),
        ("';DROP%20TABLE%20batches;--", "';DROP TABLE batches;--"),
    ],
)
async def test_an_unknown_batch_is_not_found(
    gateway: RunningApp, method: str, path: str, sent: str, meant: str
) -> None:
    error = await expect_error(gateway, method, f"{BATCHES}/{sent}{path}", status=404, param="id")
    assert error == f"There is no batch {meant!r} in this workspace."


@pytest.mark.parametrize(
    ("query", "param", "message"),
    [
        ("limit=0", "limit", "limit: Input should be greater than or equal to 1"),
        ("limit=101", "limit", "limit: Input should be less than or equal to 100"),
        ("limit=many", "limit", "limit: Input should be an integer, not a string"),
        ("limit=1&limit=2", "limit", "limit: it is given 2 times; give it once"),
        ("after=batch_01nobody", "after", "after: there is no batch 'batch_01nobody' to page from"),
        ("after=", "after", "after: String should have at least 1 character"),
    ],
)
async def test_an_invalid_page_parameter_is_refused_with_its_name(
    gateway: RunningApp, query: str, param: str, message: str
) -> None:
    assert await expect_error(gateway, "GET", f"{BATCHES}?{query}", param=param, code=INVALID) == message


async def test_a_file_with_errors_fails_the_batch_which_lists_every_bad_line(gateway: RunningApp) -> None:
    stray = chat_line("stray", url="/v1/embeddings")
    content = jsonl(chat_line("a")) + b"no json\n" + jsonl(chat_line("a"), chat_line("b"), stray)
    _, created = await gateway.call("POST", BATCHES, json=create_body(await upload_lines(gateway, content)))
    batch = await wait_for_final_status(gateway, created["id"])
    assert (batch["status"], batch["failed_at"], batch["completed_at"]) == ("failed", created["created_at"], None)
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)
    assert batch["errors"]["object"] == "list"
    faults = [(fault["line"], fault["code"], fault["param"]) for fault in batch["errors"]["data"]]
    assert faults == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
        (5, "invalid_url", "url"),
    ]
    assert all(fault["message"] for fault in batch["errors"]["data"])


async def test_every_line_of_a_file_for_another_endpoint_is_an_error(gateway: RunningApp) -> None:
    file_id = await upload_lines(gateway, jsonl(*(chat_line(str(n)) for n in range(3))))
    _, created = await gateway.call("POST", BATCHES, json=create_body(file_id, endpoint="/v1/responses"))
    batch = await wait_for_final_status(gateway, created["id"])
    found = [(fault["line"], fault["code"]) for fault in batch["errors"]["data"]]
    assert (batch["status"], found) == ("failed", [(line, "invalid_url") for line in (1, 2, 3)])
    assert CHAT in batch["errors"]["data"][0]["message"]
