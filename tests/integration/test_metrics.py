"""The metrics at ``/metrics`` count finished and running work correctly."""

import sqlite3
from pathlib import Path

from batchgate.settings import ApiKeySettings
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.scrape import scrape, scrape_until

SIMULATED = {"account": "simulator", "model": "simulated"}
SLOW = {"account": "simulator", "model": "slow"}


async def test_a_batch_is_counted_from_its_intake_to_its_end(gateway: RunningApp) -> None:
    body = create_body("a", "b", "bad")
    del body["requests"][2]["params"]["model"]
    await gateway.call("POST", BATCHES, json=body)
    found = await scrape_until(gateway, "batchgate_batches_ended_total")
    assert found.value("batchgate_batches_created_total") == 1
    assert found.value("batchgate_intake_requests_total") == 3
    size = sum(path.stat().st_size for path in gateway.data_dir.rglob("input.jsonl"))
    assert found.value("batchgate_intake_bytes_total") == size
    assert found.value("batchgate_requests_finished_total", outcome="succeeded") == 2
    assert found.value("batchgate_requests_finished_total", outcome="errored") == 1
    assert found.value("batchgate_upstream_calls_total", **SIMULATED, outcome="succeeded") == 2
    assert found.value("batchgate_upstream_call_duration_seconds_count", **SIMULATED) == 2
    assert found.value("batchgate_upstream_call_duration_seconds_bucket", **SIMULATED, le="+Inf") == 2
    assert found.value("batchgate_shard_wait_seconds_count") == 1
    assert found.value("batchgate_result_write_seconds_count") >= 1
    assert found.value("batchgate_finalization_seconds_count") == 1
    assert found.value("batchgate_batches_ended_total") == 1
    assert found.value("batchgate_requests_redelivered_total") == 0
    assert (await scrape(gateway)).value("batchgate_batches", status="in_progress") == 0


async def test_gauges_show_calls_in_flight_and_running_batches(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 30.0})}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        _, batch = await app.call("POST", BATCHES, json=create_body("a", "b", model="slow"))
        found = await scrape_until(app, "batchgate_upstream_calls_in_flight", **SLOW)
        assert found.value("batchgate_upstream_calls_in_flight", **SLOW) <= 2
        assert 1 <= found.value("batchgate_concurrency_limit", **SLOW) <= 64
        assert found.value("batchgate_batches", status="in_progress") == 1
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        found = await scrape(app)
        assert found.value("batchgate_batches", status="canceling") == 1
        assert found.value("batchgate_batches", status="in_progress") == 0


async def test_requests_that_were_never_sent_are_counted_as_canceled(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(rate_limit_rate=1.0)}
    async with running_app(tmp_path, accounts=accounts) as app:
        batch = await app.create("a", "b")
        found = await scrape_until(app, "batchgate_retries_total", **SIMULATED, reason="rate_limit_error")
        assert found.value("batchgate_upstream_calls_total", **SIMULATED, outcome="rate_limit_error") >= 1
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        found = await scrape_until(app, "batchgate_batches_ended_total")
        assert found.value("batchgate_requests_finished_total", outcome="canceled") == 2
        assert found.value("batchgate_requests_finished_total", outcome="succeeded") == 0


async def test_waiting_shards_are_counted_with_the_age_of_the_oldest(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency=30.0)}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        await app.create(*(f"r{number}" for number in range(6_000)))
        await scrape_until(app, "batchgate_upstream_calls_in_flight", **SIMULATED)
        app.clock.move(60)
        found = await scrape(app)
        assert 0 < found.value("batchgate_shards_waiting") < 12
        assert found.value("batchgate_oldest_shard_wait_seconds") == 60


async def test_models_beyond_the_label_limit_are_counted_together_as_other(gateway: RunningApp) -> None:
    body = create_body(*(f"r{number}" for number in range(230)))
    for number, request in enumerate(body["requests"]):
        request["params"]["model"] = f"model-{number}"
    body["requests"].append(create_body("long", model="x" * 129)["requests"][0])
    _, batch = await gateway.call("POST", BATCHES, json=body)
    await gateway.ended(batch["id"])
    found = await scrape(gateway)
    calls = found.labels("batchgate_upstream_calls_total", "model")
    assert len(calls) == 201
    assert "x" * 129 not in calls
    assert found.value("batchgate_upstream_calls_total", account="simulator", model="other", outcome="succeeded") == 31
    for name in (
        "batchgate_concurrency_limit",
        "batchgate_upstream_calls_in_flight",
        "batchgate_upstream_call_duration_seconds_sum",
    ):
        assert found.labels(name, "model") == calls


async def test_the_models_of_one_workspace_take_no_labels_from_another(tmp_path: Path) -> None:
    keys = {name: ApiKeySettings(key=f"sk-{name}", workspace=name) for name in ("loud", "quiet")}
    keys["root"] = ApiKeySettings(key="sk-root", scopes=("admin",))
    async with running_app(tmp_path, api_keys=keys) as app:
        body = create_body(*(f"r{number}" for number in range(230)))
        for number, request in enumerate(body["requests"]):
            request["params"]["model"] = f"made-up-{number}"
        for name, sent in (("loud", body), ("quiet", create_body("a", model="the-real-one"))):
            headers = {"x-api-key": f"sk-{name}"}
            _, batch = await app.call("POST", BATCHES, json=sent, headers=headers)
            while (await app.call("GET", f"{BATCHES}/{batch['id']}", headers=headers))[1][
                "processing_status"
            ] != "ended":
                pass
        found = await scrape(app, headers={"x-api-key": "sk-root"})
    calls = {"account": "simulator", "outcome": "succeeded"}
    assert found.value("batchgate_upstream_calls_total", workspace="quiet", model="the-real-one", **calls) == 1
    assert found.value("batchgate_upstream_calls_total", workspace="loud", model="other", **calls) == 30


async def test_http_requests_are_counted_by_operation_and_status_and_never_by_their_content(
    gateway: RunningApp,
) -> None:
    await gateway.create("a")
    await gateway.call("GET", f"{BATCHES}/msgbatch_01nobody")
    await gateway.call("GET", "/no/such/path")
    await gateway.call("PUT", "/health")
    found = await scrape(gateway)
    name = "batchgate_http_requests_total"
    assert found.value(name, operation="createMessageBatch", status="200") == 1
    assert found.value(name, operation="retrieveMessageBatch", status="404") == 1
    assert found.value(name, operation="unmatched", status="404") == 1
    assert found.value(name, operation="unmatched", status="405") == 1
    assert found.value("batchgate_http_request_duration_seconds_count", operation="createMessageBatch") == 1
    assert "no/such/path" not in found.text
    assert "nobody" not in found.text


async def test_metrics_need_a_key_if_keys_are_configured(tmp_path: Path) -> None:
    async with running_app(tmp_path, api_keys={"caller": ApiKeySettings(key="sk-bf-known", scopes=("admin",))}) as app:
        status, error = await app.call("GET", "/metrics")
        assert (status, error["error"]["type"]) == (401, "authentication_error")
        found = await scrape(app, headers={"Authorization": "Bearer sk-bf-known"})
        assert found.value("batchgate_http_requests_total", operation="getMetrics", status="401") == 1


async def test_metrics_are_served_while_the_database_is_broken(gateway: RunningApp) -> None:
    connection = sqlite3.connect(gateway.data_dir / "batchgate.db")
    connection.execute("ALTER TABLE batches RENAME TO gone")
    connection.close()
    found = await scrape_until(gateway, "batchgate_unhealthy_components")
    assert not found.labels("batchgate_batches", "status")
    assert found.value("process_resident_memory_bytes") > 0


async def test_two_gateways_in_one_process_count_separately(tmp_path: Path) -> None:
    async with running_app(tmp_path / "one") as one, running_app(tmp_path / "other") as other:
        await one.ended((await one.create("a"))["id"])
        assert (await scrape(one)).value("batchgate_batches_created_total") == 1
        assert (await scrape(other)).value("batchgate_batches_created_total") == 0


async def test_metrics_have_the_declared_content_type_and_no_created_samples(gateway: RunningApp) -> None:
    await gateway.ended((await gateway.create("a"))["id"])
    async with gateway.client.get(f"{gateway.url}/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await response.text()
    assert text.endswith("\n")
    assert "_created{" not in text
    assert "_created " not in text
    assert 'batchgate_info{role="both",version="' in text


async def test_a_key_sees_only_the_series_of_its_workspace_and_an_admin_key_sees_all(tmp_path: Path) -> None:
    keys = {
        "one": ApiKeySettings(key="sk-one", workspace="one"),
        "two": ApiKeySettings(key="sk-two", workspace="two"),
        "root": ApiKeySettings(key="sk-root", workspace="office", scopes=("admin",)),
    }
    async with running_app(tmp_path, api_keys=keys) as app:
        for name, number in (("one", 1), ("two", 2)):
            for _ in range(number):
                await app.create("a", headers={"x-api-key": f"sk-{name}"})
        created = "batchgate_batches_created_total"
        for name, number in (("one", 1), ("two", 2)):
            found = await scrape(app, headers={"x-api-key": f"sk-{name}"})
            assert found.value(created, workspace=name) == number
            assert {dict(labels)["workspace"] for _, labels in found.samples} == {name}
        found = await scrape(app, headers={"x-api-key": "sk-root"})
        assert (found.value(created, workspace="one"), found.value(created, workspace="two")) == (1, 2)
        assert found.value("process_resident_memory_bytes") > 0
