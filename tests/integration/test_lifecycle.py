"""A batch from its creation to its deletion, through the HTTP surface."""

from pathlib import Path

import pytest

from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

BATCH_KEYS = {
    "id",
    "type",
    "processing_status",
    "request_counts",
    "ended_at",
    "created_at",
    "expires_at",
    "archived_at",
    "cancel_initiated_at",
    "results_url",
}
DAY = 24 * 3600


def counts(**named: int) -> dict[str, int]:
    return {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0} | named


async def test_a_new_batch_has_all_ten_keys_and_counts_all_its_requests_as_processing(gateway: RunningApp) -> None:
    batch = await gateway.create("a", "b", "c")
    assert batch.keys() == BATCH_KEYS
    assert batch["type"] == "message_batch"
    assert batch["processing_status"] == "in_progress"
    assert batch["request_counts"] == counts(processing=3)
    assert batch["created_at"] == "2026-11-18T11:06:40.000000Z"
    assert batch["expires_at"] == "2026-11-19T11:06:40.000000Z"
    assert [batch[key] for key in ("ended_at", "archived_at", "cancel_initiated_at", "results_url")] == [None] * 4
    assert batch["id"].startswith("msgbatch_01")
    assert len(batch["id"]) == len("msgbatch_") + 24


async def test_an_ended_batch_has_each_custom_id_once_in_the_order_of_submission(gateway: RunningApp) -> None:
    ids = [f"request-{number}" for number in range(1_234)]
    batch = await gateway.ended((await gateway.create(*ids))["id"])
    assert batch["request_counts"] == counts(succeeded=1_234)
    assert batch["ended_at"] is not None
    results = await gateway.results(batch["id"])
    assert [line["custom_id"] for line in results] == ids
    assert {line["result"]["type"] for line in results} == {"succeeded"}
    assert results[0]["result"]["message"]["content"][0]["text"].startswith("You said: Hello")


async def test_the_results_are_jsonl_with_lf_and_no_blank_line(gateway: RunningApp) -> None:
    batch = await gateway.ended((await gateway.create("a", "b"))["id"])
    async with gateway.client.get(batch["results_url"]) as response:
        body = await response.read()
        assert response.content_type == "application/x-jsonl"
        assert response.content_length == len(body)
        assert response.headers["request-id"].startswith("req_")
    assert body.count(b"\n") == 2
    assert b"\r" not in body
    assert b"\n\n" not in body
    assert b'", "' not in body


async def test_counts_stay_in_processing_until_the_end_unless_live_counts_is_set(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 30.0})}
    body = create_body("quick")
    body["requests"] += create_body("slow", model="slow")["requests"]
    for live in (False, True):
        async with running_app(tmp_path / str(live), accounts=accounts, live_counts=live, shutdown_timeout=0.0) as app:
            _, batch = await app.call("POST", BATCHES, json=body)
            while (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["succeeded"] == 0:
                pass
            _, running = await app.call("GET", f"{BATCHES}/{batch['id']}")
            expected = counts(processing=1, succeeded=1) if live else counts(processing=2)
            assert running["request_counts"] == expected


async def test_a_request_that_the_provider_refuses_is_errored_and_the_others_succeed(gateway: RunningApp) -> None:
    body = create_body("good", "bad")
    del body["requests"][1]["params"]["model"]
    _, created = await gateway.call("POST", BATCHES, json=body)
    batch = await gateway.ended(created["id"])
    assert batch["request_counts"] == counts(succeeded=1, errored=1)
    bad = (await gateway.results(batch["id"]))[1]
    assert bad == {
        "custom_id": "bad",
        "result": {
            "type": "errored",
            "error": {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "model: Field required"},
                "request_id": None,
            },
        },
    }


async def test_a_cancel_keeps_finished_requests_and_cancels_unsent_ones(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 0.5})}
    accounts["narrow"] = type(accounts["simulator"])(
        provider="simulator", concurrency=1, simulator=accounts["simulator"].simulator
    )
    async with running_app(tmp_path, accounts=accounts, default_provider="narrow") as app:
        _, created = await app.call("POST", BATCHES, json=create_body(*"abc", model="slow"))
        while (await app.call("GET", "/health"))[1]["requests_in_flight"] == 0:
            pass
        status, canceling = await app.call("POST", f"{BATCHES}/{created['id']}/cancel")
        assert status == 200
        assert canceling["processing_status"] == "canceling"
        assert canceling["cancel_initiated_at"] == created["created_at"]
        batch = await app.ended(created["id"])
        assert batch["request_counts"] == counts(succeeded=1, canceled=2)
        results = await app.results(batch["id"])
        assert [line["result"]["type"] for line in results] == ["succeeded", "canceled", "canceled"]
        assert results[1] == {"custom_id": "b", "result": {"type": "canceled"}}


async def test_a_cancel_of_a_canceled_or_ended_batch_changes_nothing(gateway: RunningApp) -> None:
    batch = await gateway.ended((await gateway.create("a"))["id"])
    gateway.clock.move(60)
    for _ in range(2):
        assert await gateway.call("POST", f"{BATCHES}/{batch['id']}/cancel") == (200, batch)


async def test_a_batch_past_its_expiry_ends_with_its_unanswered_requests_expired(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"limited": 0.0}, rate_limit_rate=1.0)}
    async with running_app(tmp_path, accounts=accounts) as app:
        created = await app.create("a", "b")
        app.clock.move(DAY)
        batch = await app.ended(created["id"])
        assert batch["request_counts"] == counts(expired=2)
        assert [line["result"] for line in await app.results(batch["id"])] == [{"type": "expired"}] * 2


async def test_results_are_archived_29_days_after_creation_and_the_batch_stays_listed(gateway: RunningApp) -> None:
    batch = await gateway.ended((await gateway.create("a"))["id"])
    gateway.clock.move(29 * DAY - 1)
    assert len(await gateway.results(batch["id"])) == 1
    gateway.clock.move(1)
    path = f"{BATCHES}/{batch['id']}"
    while (archived := (await gateway.call("GET", path))[1])["archived_at"] is None:
        pass
    assert archived["results_url"] is None
    assert archived["request_counts"] == counts(succeeded=1)
    status, error = await gateway.call("GET", f"{path}/results")
    assert (status, error["error"]["type"]) == (404, "not_found_error")
    assert [shown["id"] for shown in (await gateway.call("GET", BATCHES))[1]["data"]] == [batch["id"]]
    while list((gateway.data_dir / "blobs").rglob("*.jsonl")):  # the blobs are deleted after the batch is archived
        await gateway.call("GET", "/health")


async def test_a_running_batch_cannot_be_deleted_and_an_ended_one_is_deleted_with_its_blobs(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 0.5})}
    async with running_app(tmp_path, accounts=accounts) as app:
        _, created = await app.call("POST", BATCHES, json=create_body("a", model="slow"))
        path = f"{BATCHES}/{created['id']}"
        status, error = await app.call("DELETE", path)
        assert (status, error["error"]["type"]) == (400, "invalid_request_error")
        assert "Cancel it first" in error["error"]["message"]
        await app.ended(created["id"])
        assert await app.call("DELETE", path) == (200, {"id": created["id"], "type": "message_batch_deleted"})
        for method, gone in (("GET", path), ("GET", f"{path}/results"), ("DELETE", path), ("POST", f"{path}/cancel")):
            status, error = await app.call(method, gone)
            assert (status, error["error"]["type"]) == (404, "not_found_error"), method
        assert (await app.call("GET", BATCHES))[1]["data"] == []
        assert not list((tmp_path / "blobs").rglob("*.jsonl"))


async def test_the_results_of_a_running_batch_are_not_found_with_a_clear_reason(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 30.0})}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        _, created = await app.call("POST", BATCHES, json=create_body("a", model="slow"))
        status, error = await app.call("GET", f"{BATCHES}/{created['id']}/results")
        assert (status, error["error"]["type"]) == (404, "not_found_error")
        assert "it has results once it has ended" in error["error"]["message"]


@pytest.mark.parametrize("stops", [1, 3])
async def test_a_restarted_gateway_repeats_no_request_whose_result_was_written(tmp_path: Path, stops: int) -> None:
    ids = [f"r{number}" for number in range(1_200)]
    batch_id = ""
    finished = [0]
    for _ in range(stops):
        accounts = {"simulator": simulator(latency=0.02)}
        async with running_app(tmp_path, accounts=accounts) as app:
            batch_id = batch_id or (await app.create(*ids))["id"]
            path = f"/api/batches/{batch_id}/progress"
            while (progress := (await app.call("GET", path))[1])["succeeded"] < finished[-1] + 100:
                assert progress["status"] == "in_progress"
        finished.append(progress["succeeded"])
    async with running_app(tmp_path) as app:
        batch = await app.ended(batch_id)
        assert batch["request_counts"] == counts(succeeded=1_200)
        assert [line["custom_id"] for line in await app.results(batch_id)] == ids
    assert finished == sorted(finished)
