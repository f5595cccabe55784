"""Invalid calls to list, retrieve, cancel and read unified batches: the error names the invalid parameter."""

from pathlib import Path

import pytest

from tests.integration.bad_unified_batches.expected_errors import CONFIGURED, MISSING, WRONG, expect_error
from tests.support.running_app import RunningApp, running_app, simulator
from tests.support.unified_batches import BATCHES, chat_rows, create


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
    assert message == f"provider: Field required, in the query or the header x-model-provider; {CONFIGURED}"
    message = await expect_error(app, method, f"{path}?provider=nobody", param="provider", code=WRONG)
    assert message == f"provider: 'nobody' is not configured; {CONFIGURED}"
    headers = {"x-model-provider": "nobody"}
    message = await expect_error(app, method, path, param="x-model-provider", code=WRONG, headers=headers)
    assert message == f"x-model-provider: 'nobody' is not configured; {CONFIGURED}"


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


async def test_errors_of_the_messages_api_keep_the_anthropic_envelope(app: RunningApp) -> None:
    _, error = await app.call("GET", "/v1/messages/batches/nobody")
    assert error["type"] == "error"
