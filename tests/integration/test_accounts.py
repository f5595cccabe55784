"""The accounts with their state, their tests, and the models that they are used for."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import structs

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support.http_server import serving
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

ADMIN, OTHER = ({"x-api-key": f"sk-{name}"} for name in ("admin", "other"))
KEYS = {
    "admin": ApiKeySettings(key="sk-admin", scopes=SCOPES),
    "other": ApiKeySettings(key="sk-other", workspace="others"),
}
REJECTION = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key sk-planted"}}


@pytest.fixture
async def provider() -> AsyncIterator[str]:
    """Run a provider that rejects every key but one."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("x-api-key") != "good":
            return web.json_response(REJECTION, status=401)
        return web.json_response({"data": []} if request.method == "GET" else {"type": "error"})

    served = web.Application()
    served.router.add_route("*", "/v1/{path}", answer)
    async with serving(served) as url:
        yield url


@pytest.fixture
async def app(tmp_path: Path, provider: str) -> AsyncIterator[RunningApp]:
    prices = {"simulated": PriceSettings(input=2, output=8), "*": PriceSettings(input=1, output=1)}
    accounts = {
        "sim": structs.replace(simulator(latency_by_model={"slow": 0.05}), prices=prices, concurrency=9),
        "rejected": AccountSettings(provider="anthropic", base_url=provider, api_key="sk-planted"),
        "good": AccountSettings(provider="anthropic", base_url=provider, api_key="good"),
    }
    async with running_app(tmp_path, accounts=accounts, api_keys=KEYS, default_provider="sim") as running:
        running.client.headers.update(ADMIN)
        yield running


async def accounts(app: RunningApp, **options: Any) -> dict[str, Any]:
    status, found = await app.call("GET", "/api/accounts", **options)
    assert status == 200
    return {account["name"]: account for account in found["data"]}


async def test_an_administrator_sees_the_calls_and_the_limits_of_an_account(app: RunningApp) -> None:
    await app.ended((await app.create("a", "b"))["id"])
    found = await accounts(app)
    assert list(found) == ["sim", "rejected", "good"]
    sim = found["sim"]
    assert (sim["state"], sim["pauses"], sim["concurrency"], sim["has_batch_api"]) == ("ok", [], 9, False)
    assert sim["recent_calls"] == {"calls": 2, "refused": 0}
    (model,) = sim["models"]
    assert (model["model"], model["limit"], model["maximum"], model["in_flight"]) == ("simulated", 9, 9, 0)
    assert "sk-planted" not in str(found)


async def test_a_paused_account_says_why_and_others_see_only_that_it_is(app: RunningApp) -> None:
    body = create_body("a", model="rejected/claude")
    _, batch = await app.call("POST", BATCHES, json=body)
    while (found := (await accounts(app))["rejected"])["state"] == "ok":
        pass
    (pause,) = found["pauses"]
    assert (found["state"], pause["code"], pause["model"]) == ("paused", "key_rejected", None)
    assert "sk-planted" not in pause["reason"]
    little = (await accounts(app, headers=OTHER))["rejected"]
    shown = {name: value for name, value in little.items() if value not in (None, [])}
    assert shown == {"name": "rejected", "provider": "anthropic", "state": "paused"}
    await app.call("POST", f"/api/batches/{batch['id']}/cancel")


async def test_a_test_calls_the_model_that_was_used_last_or_lists_models(app: RunningApp) -> None:
    await app.ended((await app.create("a"))["id"])
    _, called = await app.call("POST", "/api/accounts/sim/test")
    assert (called["ok"], called["method"], called["model"], called["error"]) == (True, "call", "simulated", None)
    _, listed = await app.call("POST", "/api/accounts/good/test")
    assert (listed["ok"], listed["method"], listed["model"]) == (True, "list_models", None)
    assert listed["seconds"] > 0


@pytest.mark.parametrize("query", ["", "?model=claude"])
async def test_a_test_tells_why_a_provider_refuses_without_the_key(app: RunningApp, query: str) -> None:
    status, found = await app.call("POST", f"/api/accounts/rejected/test{query}")
    assert (status, found["ok"]) == (200, False)
    assert (found["error"]["kind"], found["error"]["status"]) == ("authentication_error", 401)
    assert "invalid x-api-key" in found["error"]["message"]
    assert "sk-planted" not in found["error"]["message"]


async def test_an_account_without_a_list_of_models_needs_a_model_for_its_test(app: RunningApp) -> None:
    status, error = await app.call("POST", "/api/accounts/sim/test")
    assert (status, error["error"]["message"]) == (400, "model: simulator lists no models; name one to call")
    assert (await app.call("POST", "/api/accounts/nobody/test"))[0] == 404


async def test_models_are_those_of_the_workspace_and_the_ones_with_prices(app: RunningApp) -> None:
    await app.ended((await app.create("a"))["id"])
    _, batch = await app.call("POST", BATCHES, json=create_body("a", "b", model="own"), headers=OTHER)
    while (await app.call("GET", f"{BATCHES}/{batch['id']}", headers=OTHER))[1]["processing_status"] != "ended":
        pass
    _, everything = await app.call("GET", "/api/models")
    assert [(model["model"], model["requests"]) for model in everything["data"]] == [("own", 2), ("simulated", 1)]
    assert everything["data"][1]["direct"] == {"input": 2.0, "cached_input": 2.0, "output": 8.0}
    assert everything["data"][1]["native"] is None
    _, own = await app.call("GET", "/api/models", headers=OTHER)
    assert [(model["model"], model["requests"]) for model in own["data"]] == [("own", 2), ("simulated", 0)]


async def test_a_batch_has_a_series_with_the_duration_of_its_calls(app: RunningApp) -> None:
    _, batch = await app.call("POST", BATCHES, json=create_body("a", "b", model="slow"))
    await app.ended(batch["id"])
    _, series = await app.call("GET", f"/api/batches/{batch['id']}/series")
    (point,) = series["data"]
    assert (point["succeeded"], point["failed"], point["limit"]) == (2, 0, 9)
    assert 0.05 <= point["latency"] <= point["max_latency"]
    assert point["cost_usd"] > 0
