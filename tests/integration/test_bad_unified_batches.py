"""Invalid unified batch calls: each is refused with the invalid field in the unified envelope; nothing is stored."""

import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from batchgate.api.create_body import MAX_PROBLEMS
from tests.support.error_responses import assert_nothing_stored, check_unified_error
from tests.support.openai_batches import chat_line, jsonl, upload_lines
from tests.support.running_app import RunningApp, running_app, simulator
from tests.support.unified_batches import BATCHES, CHAT, chat_rows, create, message_rows, messages

INVALID = "invalid_request_error"
MISSING, UNKNOWN, WRONG = "missing_required_parameter", "unknown_parameter", "invalid_value"
PROVIDERS = (
    "openai, azure, anthropic, bedrock, cohere, vertex, vllm, mistral, ollama, groq, sgl, parasail, perplexity, "
    "replicate, cerebras, gemini, openrouter, elevenlabs, huggingface, nebius, xai, runway, fireworks"
)
ENDPOINTS = "/v1/chat/completions, /v1/embeddings, /v1/completions, /v1/responses, /v1/messages"
RESPONSES = "/v1/responses"
BODY = messages()


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with two accounts that are named like providers."""
    async with running_app(tmp_path, accounts={"openai": simulator(), "anthropic": simulator()}) as running:
        yield running


async def expect_error(
    app: RunningApp,
    method: str,
    path: str,
    *,
    expected: tuple[int, str] = (400, INVALID),
    param: str | None = None,
    code: str | None = None,
    **options: Any,
) -> str:
    """Make a call that must be refused, and return the message."""
    async with app.client.request(method, app.url + path, **options) as response:
        return check_unified_error(
            response.status, response.headers, await response.read(), expected=expected, param=param, code=code
        )


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
            {"requests": chat_rows("a"), "role_arn": "x"},
            "role_arn",
            UNKNOWN,
            "role_arn: Extra inputs are not permitted",
            id="unknown field",
        ),
        pytest.param(
            {"requests": chat_rows("a"), "completion_window": "48h"},
            "completion_window",
            WRONG,
            "completion_window: Input should be one of 24h, not '48h'",
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
            {"requests": chat_rows("a"), "metadata": {"a": 1}},
            "metadata.*",
            WRONG,
            "metadata.*: Input should be a string, not an integer",
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
            "endpoint: a file has no requests for /v1/messages, only for /v1/chat/completions, /v1/responses, "
            "/v1/embeddings, /v1/completions; send them in requests",
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
    ("rows", "param", "code", "message"),
    [
        pytest.param(
            [{"custom_id": "a", "params": BODY, "body": BODY}],
            "requests.0",
            WRONG,
            "requests.0: it has params and a body; a request has one of them",
            id="both",
        ),
        pytest.param(
            [{"custom_id": "a"}],
            "requests.0",
            MISSING,
            "requests.0: Field required: params for Messages, or a body",
            id="neither",
        ),
        pytest.param(
            [*chat_rows("a"), *message_rows("b")],
            "requests.1.params",
            WRONG,
            "requests.1.params: others have body; all requests have the same shape",
            id="mixed shapes",
        ),
        pytest.param(
            [*chat_rows("a"), {"custom_id": "b", "url": RESPONSES, "body": {}}],
            "requests.1.url",
            "url_mismatch",
            f"requests.1.url: it goes to {RESPONSES}, and others go to {CHAT}",
            id="mixed urls",
        ),
        pytest.param(
            [{"custom_id": "a", "url": CHAT, "params": BODY}],
            "requests.0.url",
            "url_mismatch",
            f"requests.0.url: it is {CHAT}, and params are for /v1/messages; give a body",
            id="params for another url",
        ),
        pytest.param(
            [{"custom_id": "a", "url": "/v1/rerank", "body": BODY}],
            "requests.0.url",
            WRONG,
            f"requests.0.url: Input should be one of {ENDPOINTS}, not '/v1/rerank'",
            id="unknown url",
        ),
        pytest.param(
            [{"custom_id": "a", "method": "GET", "body": BODY}],
            "requests.0.method",
            WRONG,
            "requests.0.method: Input should be one of POST, not 'GET'",
            id="method",
        ),
        pytest.param(
            [{"custom_id": "a", "body": BODY | {"stream": True}}],
            "requests.0.body.stream",
            WRONG,
            "requests.0.body.stream: a batch has no streams; leave it out",
            id="stream",
        ),
        pytest.param(
            [{"custom_id": "a", "params": BODY | {"stream": True}}],
            "requests.0.params.stream",
            WRONG,
            "requests.0.params.stream: a batch has no streams; leave it out",
            id="stream of Messages",
        ),
        pytest.param(
            chat_rows("a", "a"),
            "requests.1.custom_id",
            "duplicate_custom_id",
            "requests.1.custom_id: 'a' is already the custom_id of requests.0; each must be unique",
            id="duplicate",
        ),
        pytest.param(
            [{"custom_id": "a", "body": BODY, "priority": 1}],
            "requests.0.priority",
            UNKNOWN,
            "requests.0.priority: Extra inputs are not permitted",
            id="unknown field",
        ),
        pytest.param(
            [{"body": BODY}], "requests.0.custom_id", MISSING, "requests.0.custom_id: Field required", id="no name"
        ),
        pytest.param(
            message_rows("a b"),
            "requests.0.custom_id",
            WRONG,
            "requests.0.custom_id: String should match pattern ^[a-zA-Z0-9_-]{1,64}$",
            id="name that Messages may not have",
        ),
        pytest.param(
            [{"custom_id": "a", "body": "x"}],
            "requests.0.body",
            WRONG,
            "requests.0.body: it must be an object, a request of its endpoint",
            id="body that is no object",
        ),
    ],
)
async def test_an_invalid_request_is_refused_with_the_name_of_the_field(
    app: RunningApp, rows: list[dict[str, Any]], param: str, code: str, message: str
) -> None:
    body = {"model": "openai/simulated", "requests": rows}
    assert await expect_error(app, "POST", BATCHES, param=param, code=code, json=body) == message
    await assert_nothing_stored(app)


async def test_the_error_names_every_invalid_request_up_to_a_maximum(app: RunningApp) -> None:
    rows = [{"custom_id": str(number), "body": BODY | {"stream": number % 2 == 1}} for number in range(300)]
    body = {"model": "openai/simulated", "requests": rows}
    message = await expect_error(app, "POST", BATCHES, param="requests.1.body.stream", code=WRONG, json=body)
    assert message.count(".body.stream: ") == MAX_PROBLEMS
    assert message.endswith(" (more may follow: only the first are named)")
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
            f"the batch itself; it must be one of {PROVIDERS}",
            id="none",
        ),
        pytest.param(
            "?provider=nobody",
            "simulated",
            "provider",
            WRONG,
            f"provider: Input should be one of {PROVIDERS}, not 'nobody'",
            id="unknown",
        ),
        pytest.param(
            "?provider=azure",
            "simulated",
            "provider",
            WRONG,
            "provider: 'azure' is not configured; configured: openai, anthropic, simulator",
            id="not configured",
        ),
        pytest.param(
            "",
            "meta-llama/Llama-3",
            "model",
            WRONG,
            "model: 'meta-llama' is not configured; configured: openai, anthropic, simulator",
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


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", BATCHES),
        ("GET", f"{BATCHES}/batch_x"),
        ("POST", f"{BATCHES}/batch_x/cancel"),
        ("GET", f"{BATCHES}/batch_x/results"),
    ],
)
async def test_a_call_must_name_a_known_provider(app: RunningApp, method: str, path: str) -> None:
    message = await expect_error(app, method, path, param="provider", code=MISSING)
    assert message == f"provider: Field required; it must be one of {PROVIDERS}"
    message = await expect_error(app, method, f"{path}?provider=nobody", param="provider", code=WRONG)
    assert message == f"provider: Input should be one of {PROVIDERS}, not 'nobody'"


@pytest.mark.parametrize(
    ("query", "param", "message"),
    [
        ("limit=0", "limit", "limit: Input should be greater than or equal to 1"),
        ("limit=-1", "limit", "limit: Input should be greater than or equal to 1"),
        ("limit=x", "limit", "limit: Input should be an integer, not a string"),
        ("limit=1.5", "limit", "limit: Input should be an integer, not a string"),
        ("limit=1&limit=2", "limit", "limit: it is given 2 times; give it once"),
        ("after=batch_x", "after", "after: there is no batch 'batch_x' to page from"),
        ("before=batch_x", "before", "before: there is no batch 'batch_x' to page from"),
        ("after=", "after", "after: String should have at least 1 character"),
    ],
)
async def test_an_invalid_page_parameter_is_refused(app: RunningApp, query: str, param: str, message: str) -> None:
    found = await expect_error(app, "GET", f"{BATCHES}?provider=openai&{query}", param=param, code=WRONG)
    assert found == message


async def test_an_unknown_batch_or_one_of_another_provider_is_not_found(app: RunningApp) -> None:
    batch = await create(app, requests=chat_rows("a"))
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/results")):
        unknown = f"{BATCHES}/batch_nobody{path}?provider=openai"
        await expect_error(app, method, unknown, expected=(404, "not_found_error"), param="id")
        of_another_provider = f"{BATCHES}/{batch['id']}{path}?provider=anthropic"
        await expect_error(app, method, of_another_provider, expected=(404, "not_found_error"), param="provider")


async def test_the_results_of_a_running_batch_are_not_found(tmp_path: Path) -> None:
    slow = simulator(latency=60.0)
    async with running_app(tmp_path, accounts={"openai": slow}, shutdown_timeout=0.0) as app:
        batch = await create(app, requests=chat_rows("a"))
        path = f"{BATCHES}/{batch['id']}/results?provider=openai"
        message = await expect_error(app, "GET", path, expected=(404, "not_found_error"))
        assert "it has results once it has ended" in message


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


async def test_errors_of_the_messages_api_keep_the_anthropic_envelope(app: RunningApp) -> None:
    _, error = await app.call("GET", "/v1/messages/batches/nobody")
    assert error["type"] == "error"
