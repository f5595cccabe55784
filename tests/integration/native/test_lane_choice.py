"""Which lane the requests of a batch take, and where a caller sees why."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchgate.account_settings import AccountSettings
from tests.integration.native.native_gateway import KEY, NativeGateway, native_gateway
from tests.support import openai_batches
from tests.support.running_app import RunningApp, create_body, running_app, simulator
from tests.support.simulated_batches import simulated_providers

MANY = [f"request-{number}" for number in range(20)]
ENDPOINT = "/v1/responses"
REFUSED = {"previous_response_id": "resp_1"}
WHY_REFUSED = "previous_response_id: a batch may not see the response that it names"


def line(custom_id: str, model: str = "m", **fields: Any) -> dict[str, Any]:
    body = {"model": model, "input": "Hello", **fields}
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}


async def create(gateway: NativeGateway, *lines: dict[str, Any]) -> dict[str, Any]:
    return await openai_batches.create(gateway.app, *lines, endpoint=ENDPOINT)


def part(requests: int, lane: str, code: str, reason: str, model: str | None = "m") -> dict[str, Any]:
    return {
        "account": None if model is None else "openai",
        "model": model,
        "endpoint": ENDPOINT,
        "lane": lane,
        "code": code,
        "reason": reason,
        "requests": requests,
    }


async def lanes(gateway: NativeGateway, batch_id: str) -> list[dict[str, Any]]:
    """Wait until the lanes of a batch are decided, and return them."""
    while not (found := (await gateway.progress(batch_id))["lanes"]):
        await gateway.pass_time(1.0)
    assert isinstance(found, list)
    return found


async def results(app: RunningApp, batch_id: str) -> list[Any]:
    async with app.client.get(f"{app.url}/api/batches/{batch_id}/results") as response:
        return [msgspec.json.decode(line) for line in (await response.read()).splitlines()]


async def test_each_part_of_a_batch_shows_its_lane_and_the_reason_also_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [line(name) for name in MANY] + [line("refused", **REFUSED), line("few", model="other")]
    expected = [
        part(20, "native", "cheaper", "the provider's batch API is cheaper"),
        part(1, "direct", "not_accepted", WHY_REFUSED),
        part(1, "direct", "too_few_requests", "the batch has fewer than 20 such requests for the model", "other"),
    ]
    with caplog.at_level(logging.INFO):
        async with native_gateway(tmp_path, "openai") as gateway:
            batch = await create(gateway, *lines)
            assert await lanes(gateway, batch["id"]) == expected
    logged = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == "lane_chosen"]
    assert "20 requests take the lane native: the provider's batch API is cheaper (cheaper)" in logged
    async with native_gateway(tmp_path, "openai") as gateway:
        assert await lanes(gateway, batch["id"]) == expected


async def test_parts_beyond_fifty_are_summed_up(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        batch = await create(gateway, *(line(f"r{n}", model=f"m{n}") for n in range(60)))
        found = await lanes(gateway, batch["id"])
        assert len(found) == 51
        assert found[-1] == part(10, "direct", "too_few_requests", "other requests, summed up", None)


async def test_an_error_of_the_lane_native_names_the_field_that_no_job_takes(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai", lane="native") as gateway:
        batch = await create(gateway, line("good"), line("bad", **REFUSED))
        while (await gateway.progress(batch["id"]))["status"] != "ended":
            await gateway.pass_time()
        good, bad = await results(gateway.app, batch["id"])
        assert good["response"]["status_code"] == 200
        assert bad["response"]["body"]["error"]["message"] == f"{WHY_REFUSED}; in the lane auto it would run directly"


async def test_responses_that_must_be_translated_name_the_url_in_the_lane_native(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "anthropic", lane="native") as gateway:
        batch = await create(gateway, line("a"))
        (found,) = await lanes(gateway, batch["id"])
        assert (found["lane"], found["code"]) == ("none", "not_accepted")
        while (await gateway.progress(batch["id"]))["status"] != "ended":
            await gateway.pass_time()
        (result,) = await results(gateway.app, batch["id"])
        expected = "url: Responses are translated for this provider; in the lane auto it would run directly"
        assert result["response"]["body"]["error"]["message"] == expected


async def test_a_batch_that_needs_no_plan_shows_why_it_runs_directly(tmp_path: Path) -> None:
    async with running_app(tmp_path, accounts={"simulator": simulator()}) as app:
        shown = {}
        for lane in ("auto", "direct", "native"):
            batch = await app.create("a", headers={"batchgate-lane": lane})
            _, progress = await app.call("GET", f"/api/batches/{batch['id']}/progress")
            (found,) = progress["lanes"]
            shown[lane] = (found["lane"], found["code"], found["reason"], found["model"], found["requests"])
        no_api = "lane: account 'simulator' has no batch API"
        assert shown == {
            "auto": ("direct", "no_batch_api", no_api, "simulated", 1),
            "direct": ("direct", "lane_direct", "the lane is direct", "simulated", 1),
            "native": ("none", "no_batch_api", no_api, "simulated", 1),
        }


async def test_a_server_of_ones_own_is_called_directly_unless_the_account_says_that_it_has_the_batch_api(
    tmp_path: Path,
) -> None:
    async with simulated_providers() as providers:
        url = f"{providers.url}/openai/v1"
        silent = AccountSettings(provider="openai", base_url=url, api_key=KEY)
        says = AccountSettings(provider="openai", base_url=url, api_key=KEY, lane="auto", native_min_requests=2)
        async with running_app(tmp_path, accounts={"silent": silent, "says": says}) as app:
            gateway = NativeGateway(app, providers)
            for account, code in (("silent", "no_batch_api"), ("says", "cheaper")):
                _, batch = await app.call(
                    "POST", "/v1/messages/batches", json=create_body("a", "b"), headers={"x-model-provider": account}
                )
                assert [found["code"] for found in await lanes(gateway, batch["id"])] == [code]


async def test_a_new_lane_of_the_account_does_not_end_the_requests_of_batches_that_run_directly(tmp_path: Path) -> None:
    async with simulated_providers() as providers:
        down = AccountSettings(provider="openai", base_url="http://127.0.0.1:9/v1", api_key=KEY, lane="direct")
        async with running_app(tmp_path, accounts={"openai": down}) as app:
            batch = await create(NativeGateway(app, providers), *(line(name) for name in MANY))
            (found,) = await lanes(NativeGateway(app, providers), batch["id"])
            assert (found["lane"], found["code"]) == ("direct", "lane_direct")
        url = f"{providers.url}/openai/v1"
        native = AccountSettings(provider="openai", base_url=url, api_key=KEY, lane="native")
        async with running_app(tmp_path, accounts={"openai": native}) as app:
            gateway = NativeGateway(app, providers)
            while (progress := await gateway.progress(batch["id"]))["status"] != "ended":
                await gateway.pass_time()
            assert (progress["succeeded"], progress["errored"]) == (len(MANY), 0)


async def test_each_account_of_a_batch_keeps_the_lane_that_it_had(tmp_path: Path) -> None:
    """The account that is called directly can be reached after the restart alone, when its lane is another."""
    async with simulated_providers() as providers:
        down = AccountSettings(provider="openai", base_url="http://127.0.0.1:9/v1", api_key=KEY, lane="direct")
        accounts = {"openai": down, "simulator": simulator()}
        lines = [line(name) for name in MANY]
        for each in lines[: len(lines) // 2]:
            each["body"]["model"] = "simulator/any"
        async with running_app(tmp_path, accounts=accounts) as app:
            batch = await create(NativeGateway(app, providers), *lines)
            await lanes(NativeGateway(app, providers), batch["id"])
        native = AccountSettings(provider="openai", base_url=f"{providers.url}/openai/v1", api_key=KEY, lane="native")
        async with running_app(tmp_path, accounts=accounts | {"openai": native}) as app:
            gateway = NativeGateway(app, providers)
            while (progress := await gateway.progress(batch["id"]))["status"] != "ended":
                await gateway.pass_time()
            assert (progress["succeeded"], progress["errored"]) == (len(MANY), 0)
