"""What batches cost in each lane, what the native lane saves, and what is paid twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batchgate.account_settings import PriceSettings
from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support.command import PROGRAM
from tests.support.gateway_process import clean_environment
from tests.support.running_app import BATCHES, params
from tests.support.scrape import scrape
from tests.support.span_collector import Collector

NATIVE = [f"native-{number}" for number in range(30)]
DIRECT = ["direct-0", "direct-1", "direct-2"]
"""Too few for a job of their own model."""
CALLS = 40
"""Calls to the gateway between two steps: a batch must not miss a time limit because the machine is busy."""
MINI, NANO = "gpt-5-mini", "gpt-5-nano"
UNIFIED = "/v1/batches"


async def create_both_lanes(gateway: NativeGateway) -> str:
    """Create a batch that takes both lanes, and let it end."""
    requests = [{"custom_id": custom_id, "params": params(MINI)} for custom_id in NATIVE]
    requests += [{"custom_id": custom_id, "params": params(NANO)} for custom_id in DIRECT]
    status, batch = await gateway.app.call("POST", BATCHES, json={"requests": requests})
    assert status == 200, batch
    await gateway.until_ended(batch["id"])
    return str(batch["id"])


async def tokens(gateway: NativeGateway, batch_id: str, prefix: str) -> tuple[int, int]:
    """Return the input and output tokens of some results."""
    results = [line for line in await gateway.app.results(batch_id) if line["custom_id"].startswith(prefix)]
    usages = [line["result"]["message"]["usage"] for line in results]
    return sum(usage["input_tokens"] for usage in usages), sum(usage["output_tokens"] for usage in usages)


async def costs(gateway: NativeGateway, batch_id: str) -> dict[str, Any]:
    """Return what the batch must have cost at the catalogue's prices; each answer is a whole number of nano-dollars."""
    native, direct = await tokens(gateway, batch_id, "native"), await tokens(gateway, batch_id, "direct")
    half = (native[0] * 0.125 + native[1] * 1.0) / 1e6
    return {
        "direct_usd": pytest.approx((direct[0] * 0.05 + direct[1] * 0.4) / 1e6),
        "native_usd": pytest.approx(half),
        "saved_usd": pytest.approx(half),
        "unpriced": 0,
    }


async def monthly_spend(gateway: NativeGateway) -> Any:
    """Return what the workspace has spent this month."""
    _, report = await gateway.app.call("GET", "/api/usage")
    return report["workspace"]["use"]["monthly_spend_usd"]


async def show(gateway: NativeGateway, batch_id: str) -> str:
    """Run ``batchgate show``."""
    environment = clean_environment({"BATCHGATE_URL": gateway.app.url})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*PROGRAM, "show", batch_id, env=environment, stdout=pipe)
    output, _ = await process.communicate()
    return output.decode()


async def test_the_costs_of_a_batch_that_takes_both_lanes_add_up(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai", catalogue_prices=True) as gateway:
        batch_id = await create_both_lanes(gateway)
        spent = (await gateway.progress(batch_id))["spent"]
        assert spent == await costs(gateway, batch_id)
        assert spent["saved_usd"] > 0
        _, unified = await gateway.app.call("GET", f"{UNIFIED}/{batch_id}?provider=openai")
        assert unified["spent"] == spent
        assert await monthly_spend(gateway) == pytest.approx(spent["direct_usd"] + spent["native_usd"])
        found = await scrape(gateway.app)
        for lane in ("direct", "native"):
            assert found.value("batchgate_cost_usd_total", lane=lane) == pytest.approx(spent[f"{lane}_usd"])
        for lane in ("direct", "native"):
            incoming, outgoing = await tokens(gateway, batch_id, lane)
            assert found.value("batchgate_tokens_total", lane=lane, type="input") == incoming
            assert found.value("batchgate_tokens_total", lane=lane, type="output") == outgoing
        assert found.value("batchgate_saved_usd_total") == pytest.approx(spent["saved_usd"])
        assert found.value("batchgate_unpriced_requests_total") == 0
        shown = await show(gateway, batch_id)
        [line] = [line for line in shown.splitlines() if line.startswith("Cost")]
        assert f"${spent['native_usd']:.9f}".rstrip("0") in line
        assert "saved" in line


async def test_prices_and_factors_of_the_settings_replace_those_of_the_catalogue(tmp_path: Path) -> None:
    prices = {MINI: PriceSettings(input=10, output=20)}
    given: dict[str, Any] = {"prices": prices, "native_factors": {MINI: 0.25}, "catalogue_prices": True}
    async with native_gateway(tmp_path, "openai", **given) as gateway:
        batch_id = await create_both_lanes(gateway)
        incoming, outgoing = await tokens(gateway, batch_id, "native")
        direct = (incoming * 10 + outgoing * 20) / 1e6
        spent = (await gateway.progress(batch_id))["spent"]
        assert spent["native_usd"] == pytest.approx(direct * 0.25)
        assert spent["saved_usd"] == pytest.approx(direct * 0.75)
        assert spent["direct_usd"] == (await costs(gateway, batch_id))["direct_usd"]


async def test_a_model_whose_factor_is_one_runs_directly_in_the_lane_auto(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai", native_factors={MINI: 1}) as gateway:
        batch_id = await create_both_lanes(gateway)
        assert (await gateway.progress(batch_id))["jobs"] == []


async def test_answers_without_a_price_are_counted_as_such(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai", prices={NANO: PriceSettings(input=1, output=1)}) as gateway:
        batch_id = await create_both_lanes(gateway)
        spent = (await gateway.progress(batch_id))["spent"]
        assert (spent["native_usd"], spent["saved_usd"], spent["unpriced"]) == (0, 0, len(NATIVE))
        assert spent["direct_usd"] > 0
        found = await scrape(gateway.app)
        assert found.value("batchgate_unpriced_requests_total") == len(NATIVE)
        assert f"{len(NATIVE)} answers not counted" in await show(gateway, batch_id)


async def test_the_metrics_tell_the_lanes_of_requests_and_what_jobs_do(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        await gateway.providers.configure(running=1000)
        batch = await gateway.app.create(*NATIVE, *DIRECT)
        await gateway.jobs_upstream()
        while (await scrape(gateway.app)).value("batchgate_native_jobs", account="openai", state="running") != 1:
            await gateway.pass_time(1.0)
        assert (await scrape(gateway.app)).value("batchgate_native_jobs", account="openai", state="planned") == 0
        await gateway.until_ended(batch["id"])
        found = await scrape(gateway.app)
        assert found.value("batchgate_native_jobs", account="openai", state="running") == 0
        assert found.value("batchgate_lane_requests_total", lane="native") == len(NATIVE) + len(DIRECT)
        for call in ("upload", "create", "collect"):
            ended = found.value("batchgate_native_calls_total", account="openai", call=call, outcome="succeeded")
            assert ended == 1, call
        assert found.value("batchgate_native_calls_total", account="openai", call="poll", outcome="succeeded") > 2
        while found.value("batchgate_native_calls_total", account="openai", call="discard", outcome="succeeded") != 1:
            await gateway.pass_time(1.0)
            found = await scrape(gateway.app)
        assert found.value("batchgate_native_call_duration_seconds_count", call="create") == 1
        duration = "batchgate_native_job_duration_seconds"
        assert found.value(f"{duration}_count", account="openai", state="done") == 1
        assert found.value(f"{duration}_sum", account="openai", state="done") >= 1000


async def test_requests_that_a_failed_job_leaves_are_counted_as_rescued(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        await gateway.providers.play(expire_at=0.4)
        batch = await gateway.app.create(*NATIVE)
        await gateway.until_ended(batch["id"])
        found = await scrape(gateway.app)
        assert found.value("batchgate_rescued_requests_total") == 18
        assert found.value("batchgate_lane_requests_total", lane="native") == 12
        assert found.value("batchgate_lane_requests_total", lane="direct") == 18
        assert found.value("batchgate_paid_twice_requests_total") == 0
        assert found.labels("batchgate_paid_twice_requests_total", "workspace") == {"default"}
        assert (await gateway.progress(batch["id"]))["paid_twice"] == 0


async def test_what_a_job_answers_after_its_rescue_is_counted_as_paid_twice_and_not_written_twice(
    tmp_path: Path,
) -> None:
    prices = {"simulated": PriceSettings(input=1, output=1)}
    async with native_gateway(tmp_path, "openai", prices=prices) as gateway:
        await gateway.providers.configure(running=30 * 3600, cancelling=1800)
        await gateway.providers.play(cancellation="loses_race")
        batch = await gateway.app.create(*NATIVE)
        await gateway.jobs_upstream()
        for _ in range(24 * 6 - 4):
            await gateway.pass_time(600)
        while (await gateway.app.call("GET", f"{BATCHES}/{batch['id']}"))[1]["processing_status"] != "ended":
            await gateway.pass_time(10, CALLS)
        before = await gateway.progress(batch["id"])
        assert (before["paid_twice"], before["spent"]["native_usd"]) == (0, 0)
        while not (await gateway.progress(batch["id"]))["paid_twice"]:
            await gateway.pass_time(300)
        for _ in range(5):
            await gateway.pass_time(300)
        after = await gateway.progress(batch["id"])
        assert (after["paid_twice"], after["succeeded"]) == (len(NATIVE), len(NATIVE))
        counts = Counter(line["custom_id"] for line in await gateway.app.results(batch["id"]))
        assert counts == dict.fromkeys(NATIVE, 1)
        direct = before["spent"]["direct_usd"]
        assert after["spent"]["direct_usd"] == direct
        assert after["spent"]["native_usd"] == pytest.approx(direct / 2)
        assert after["spent"]["saved_usd"] == pytest.approx(-direct / 2)
        assert await monthly_spend(gateway) == pytest.approx(direct * 1.5)
        _, report = await gateway.app.call("GET", "/api/usage?by=lane")
        counted = {
            group["lane"]: (group["succeeded"], group["paid_twice"], group["cost_usd"]) for group in report["data"]
        }
        assert counted == {
            "direct": (len(NATIVE), 0, direct),
            "native": (0, len(NATIVE), after["spent"]["native_usd"]),
        }
        found = await scrape(gateway.app)
        assert found.value("batchgate_paid_twice_requests_total") == len(NATIVE)
        assert f"{len(NATIVE)} requests paid twice" in await show(gateway, batch["id"])


async def test_the_spans_of_a_job_belong_to_the_trace_of_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    async with collector.listening() as url:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)  # read by the exporter itself
        async with native_gateway(tmp_path, "openai", environment=environment) as gateway:
            batch = await gateway.app.create(*NATIVE)
            await gateway.until_ended(batch["id"])
    names = Counter(span.name for span in collector.spans)
    assert names.keys() >= {"upload native job", "create native job", "poll native job", "collect native job"}
    assert names["native job"] == 1
    assert len({span.trace_id for span in collector.spans}) == 1
    [job] = [span for span in collector.spans if span.name == "native job"]
    values = {a.key: a.value.string_value or a.value.int_value for a in job.attributes}
    assert values["batchgate.batch"] == batch["id"]
    assert (values["batchgate.state"], values["batchgate.answered"], values["batchgate.rescued"]) == ("done", 30, 0)
