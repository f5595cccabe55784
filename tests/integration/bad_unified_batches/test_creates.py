"""Invalid creates of unified batches: the error names the invalid field; nothing is stored."""

import json
from io import BytesIO
from typing import Any

import pytest

from tests.integration.bad_unified_batches.expected_errors import (
    CONFIGURED,
    ENDPOINTS,
    FILE_ENDPOINTS,
    INVALID,
    MISSING,
    RESPONSES,
    UNKNOWN,
    WRONG,
    expect_error,
)
from tests.support.error_responses import assert_nothing_stored
from tests.support.openai_batches import chat_line, jsonl, upload_lines
from tests.support.running_app import RunningApp
from tests.support.unified_batches import BATCHES, CHAT, chat_rows


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        pytest.param({}, "input_file_id", MISSING, "input_file_id: Field required, or requests", id="neither"),
        pytest.param(
            {"input_file_id": "file-x", "requests": chat_rows("a")},
            "input_file_id",
            WRONG,
            "input_file_id: there are requests too; give one of them",
            id="both, file first",
        ),
        pytest.param(
            {"requests": chat_rows("a"), "input_file_id": "file-x"},
            "input_file_id",
            WRONG,
            "input_file_id: there are requests too; give one of them",
            id="both, requests first",
        ),
        pytest.param({"requests": []}, "requests", WRONG, "requests: there must be at least 1 request", id="none"),
        pytest.param(
            {"requests": {}}, "requests", WRONG, "requests: Input should be an array, not an object", id="no array"
        ),
        pytest.param(
            {"requests": chat_rows("a"), "input_blob": "x"},
            "input_blob",
            UNKNOWN,
            "input_blob: Extra inputs are not permitted",
            id="unknown field",
        ),
        pytest.param(
            {"requests": chat_rows("a"), "completion_window": "169h"},
            "completion_window",
            WRONG,
            "completion_window: it must be whole hours or days from 1h to 7d, such as 24h",
            id="window",
        ),
        pytest.param(
            {"endpoint": "/v1/moderations", "requests": chat_rows("a")},
            "endpoint",
            WRONG,
            f"endpoint: Input should be one of {ENDPOINTS}, not '/v1/moderations'",
            id="endpoint",
        ),
        pytest.param(
            {"endpoint": RESPONSES, "requests": chat_rows("a")},
            "requests.0.url",
            "url_mismatch",
            f"requests.0.url: it goes to {CHAT}, and endpoint says {RESPONSES}",
            id="endpoint of another url",
        ),
        pytest.param(
            {"requests": chat_rows("a"), "metadata": {"z": "", "a": 1}},
            "metadata.a",
            WRONG,
            "metadata.a: Input should be a string, not an integer",
            id="metadata of no strings",
        ),
        pytest.param(
            {"requests": chat_rows("a"), "metadata": {str(n): "" for n in range(17)}},
            "metadata",
            WRONG,
            "metadata: Object should have at most 16 entries",
            id="too much metadata",
        ),
        pytest.param(
            {"requests": chat_rows("a"), "metadata": {"k" * 65: ""}},
            "metadata",
            WRONG,
            f"metadata: a key may have at most 64 characters, and {'k' * 65!r} has 65",
            id="long key",
        ),
        pytest.param(
            {"requests": chat_rows("a"), "output_expires_after": {"anchor": "created_at", "seconds": 60}},
            "output_expires_after.seconds",
            WRONG,
            "output_expires_after.seconds: Input should be greater than or equal to 3600",
            id="expiry",
        ),
        pytest.param(
            {"input_file_id": "file-x"},
            "input_file_id",
            "file_not_found",
            "input_file_id: there is no file 'file-x' in this workspace",
            id="unknown file",
        ),
        pytest.param(
            {"input_file_id": "file-x", "endpoint": "/v1/messages"},
            "endpoint",
            WRONG,
            f"endpoint: a file has no requests for /v1/messages, only for {FILE_ENDPOINTS}; send them in requests",
            id="file for Messages",
        ),
    ],
)
async def test_an_invalid_create_is_refused_with_the_name_of_the_field(
    app: RunningApp, body: dict[str, Any], param: str, code: str, message: str
) -> None:
    found = await expect_error(app, "POST", f"{BATCHES}?provider=openai", param=param, code=code, json=body)
    assert found == message
    await assert_nothing_stored(app)


@pytest.mark.parametrize(
    ("query", "model", "param", "code", "message"),
    [
        pytest.param(
            "",
            "simulated",
            "provider",
            MISSING,
            "provider: Field required, in the query, in the header x-model-provider or before a slash in the model of "
            f"the batch itself; {CONFIGURED}",
            id="none",
        ),
        pytest.param(
            "?provider=nobody",
            "simulated",
            "provider",
            WRONG,
            f"provider: 'nobody' is not configured; {CONFIGURED}",
            id="unknown",
        ),
        pytest.param(
            "?provider=azure",
            "simulated",
            "provider",
            WRONG,
            f"provider: 'azure' is not configured; {CONFIGURED}",
            id="not configured",
        ),
        pytest.param(
            "",
            "meta-llama/Llama-3",
            "model",
            WRONG,
            f"model: 'meta-llama' is not configured; {CONFIGURED}",
            id="prefix that is none",
        ),
    ],
)
@pytest.mark.parametrize("model_last", [False, True])
async def test_a_create_without_a_configured_provider_is_refused(  # noqa: PLR0917
    app: RunningApp, query: str, model: str, param: str, code: str, message: str, *, model_last: bool
) -> None:
    fields: dict[str, Any] = {"model": model, "requests": chat_rows("a")}
    body = dict(reversed(fields.items())) if model_last else fields
    assert await expect_error(app, "POST", BATCHES + query, param=param, code=code, json=body) == message
    await assert_nothing_stored(app)


async def test_two_different_provider_names_are_refused(app: RunningApp) -> None:
    headers = {"x-model-provider": "anthropic"}
    body = {"requests": chat_rows("a")}
    message = await expect_error(
        app, "POST", f"{BATCHES}?provider=openai", param="provider", code=WRONG, json=body, headers=headers
    )
    assert message == "provider: one place says openai and another anthropic; name it once"


async def test_a_file_with_another_purpose_is_refused(app: RunningApp) -> None:
    file_id = await upload_lines(app, jsonl(chat_line("a")), purpose="user_data")
    body = {"model": "openai/simulated", "input_file_id": file_id}
    await expect_error(app, "POST", BATCHES, param="input_file_id", code="invalid_file_purpose", json=body)


@pytest.mark.parametrize(
    ("data", "headers", "expected", "code", "message"),
    [
        pytest.param(b"{", {}, (400, INVALID), None, "the body is not valid JSON: it ends too early", id="cut off"),
        pytest.param(b"", {}, (400, INVALID), None, "the body is not valid JSON: it ends too early", id="empty"),
        pytest.param(b"[]", {}, (400, INVALID), None, "Input should be an object, not an array", id="array"),
        pytest.param(
            b"{}",
            {"Content-Type": "text/plain"},
            (415, INVALID),
            None,
            "Content-Type: it must be application/json, and is 'text/plain'",
            id="no JSON",
        ),
        pytest.param(
            b"{}",
            {"Content-Encoding": "br"},
            (400, INVALID),
            "request_body_encoding_unsupported",
            "Content-Encoding: 'br' is not supported; send the body plain or as one of gzip, deflate, zstd",
            id="encoding",
        ),
        pytest.param(
            json.dumps({"metadata": {"a": "x" * 70_000}, "requests": chat_rows("a")}).encode(),
            {},
            (400, INVALID),
            "invalid_value",
            "requests: this array must begin within the first 65536 bytes of the body",
            id="much before the requests",
        ),
    ],
)
async def test_an_invalid_create_body_is_refused(  # noqa: PLR0917
    app: RunningApp, data: bytes, headers: dict[str, str], expected: tuple[int, str], code: str | None, message: str
) -> None:
    found = await expect_error(
        app,
        "POST",
        f"{BATCHES}?provider=openai",
        expected=expected,
        param="requests" if code == "invalid_value" else None,
        code=code,
        data=BytesIO(data),
        headers={"Content-Type": "application/json"} | headers,
    )
    assert found == message
    await assert_nothing_stored(app)
