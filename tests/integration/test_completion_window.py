"""The completion window of a batch, 1h to 7d, sets its expiry on the surfaces that have it."""

from pathlib import Path

import pytest

from batchgate.account_settings import AccountSettings
from tests.support import openai_batches, unified_batches
from tests.support.openai_batches import chat_line, create_body, jsonl, upload_lines
from tests.support.running_app import RunningApp, running_app, simulator
from tests.support.unified_batches import chat_rows
from tests.support.uploads import expect_error

HOUR, DAY = 3600, 24 * 3600
QUERY = {openai_batches.BATCHES: "", unified_batches.BATCHES: "?provider=openai"}
WRONG = "completion_window: it must be whole hours or days from 1h to 7d, such as 24h"


@pytest.mark.parametrize(
    ("window", "length"),
    [("1h", HOUR), ("24h", DAY), ("25h", 25 * HOUR), ("168h", 7 * DAY), ("1d", DAY), ("7d", 7 * DAY)],
)
@pytest.mark.parametrize("path", QUERY)
async def test_the_window_sets_the_expiry_of_a_batch_and_is_returned_as_given(
    tmp_path: Path, path: str, window: str, length: int
) -> None:
    async with running_app(tmp_path, accounts={"openai": simulator()}) as app:
        body = {"requests": chat_rows("a"), "model": "simulated", "completion_window": window}
        file = create_body(await upload_lines(app, jsonl(chat_line("a"))), completion_window=window)
        for create in (body, file):
            status, batch = await app.call("POST", path + QUERY[path], json=create)
            assert status == 200, batch
            assert (batch["completion_window"], batch["expires_at"] - batch["created_at"]) == (window, length)
            _, other = await app.call("GET", f"/anthropic/v1/messages/batches/{batch['id']}")
            assert (
                other["expires_at"][:10]
                == ("2026-11-18", "2026-11-19", "2026-11-25")[(length >= DAY) + (length > 2 * DAY)]
            )


@pytest.mark.parametrize(
    "window",
    ["0h", "0d", "169h", "8d", "1.5h", "90m", "24", "h", "24H", " 24h", "24h\n", "+1h", "024h", "1d12h", "", 24],
)
@pytest.mark.parametrize("path", QUERY)
async def test_another_window_is_refused(tmp_path: Path, path: str, window: str | int) -> None:
    async with running_app(tmp_path, accounts={"openai": simulator()}) as app:
        body = {"completion_window": window, "requests": chat_rows("a"), "model": "simulated"}
        message = await expect_error(
            app, "POST", path + QUERY[path], json=body, param="completion_window", code="invalid_value"
        )
        assert message == WRONG


@pytest.mark.parametrize("path", QUERY)
async def test_requests_that_were_not_sent_expire_exactly_at_the_end_of_the_window(tmp_path: Path, path: str) -> None:
    accounts = {"openai": AccountSettings(provider="openai", api_key="x", base_url="http://127.0.0.1:9/v1")}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        body = {"requests": chat_rows("a"), "model": "any", "completion_window": "2h"}
        status, batch = await app.call("POST", path + QUERY[path], json=body)
        assert status == 200, batch
        app.clock.move(2 * HOUR - 0.000001)
        assert (await openai_batches.retrieve(app, batch["id"]))["status"] == "in_progress"
        app.clock.move(0.000001)
        ended = await openai_batches.wait_for_final_status(app, batch["id"])
        assert (ended["status"], ended["expired_at"]) == ("expired", batch["created_at"] + 2 * HOUR)


async def test_a_create_is_the_same_with_the_default_window_named_or_not(gateway: RunningApp) -> None:
    key = {"Idempotency-Key": "one"}
    path = openai_batches.BATCHES
    first = (await gateway.call("POST", path, json={"requests": chat_rows("a")}, headers=key))[1]
    named = {"requests": chat_rows("a"), "completion_window": "24h"}
    assert (await gateway.call("POST", path, json=named, headers=key))[1]["id"] == first["id"]
    longer = named | {"completion_window": "2d"}
    await expect_error(gateway, "POST", path, status=422, code=None, json=longer, headers=key)
