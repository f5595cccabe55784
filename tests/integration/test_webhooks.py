"""Events of batches reach the receivers of their workspace: signed, in order, and also when a receiver was down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner
from openai import OpenAI
from openai.types.webhooks import BatchCompletedWebhookEvent
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from batchgate.cli import main
from batchgate.engine.model.clock import HOUR
from batchgate.engine.webhooks import deliverer
from batchgate.providers.transport import webhook_sender
from tests.support.databases import DATABASES, new_database
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app
from tests.support.scrape import scrape, scrape_until
from tests.support.unified_batches import chat_rows, create
from tests.support.webhook_gateway import LIFE, add, gateway
from tests.support.webhook_receiver import ReceivedEvent, WebhookReceiver, webhook_receiver

MINUTE, DAY = 60.0, 24 * 3600.0  # seconds


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "INTERVAL", 0.02)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(params=DATABASES)
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningApp]:
    with new_database(request.param, tmp_path) as database:
        async with gateway(tmp_path, database_url=database.url) as app:
            yield app


async def pass_time(app: RunningApp) -> None:
    """Let five minutes pass, and the gateway look for what is due then."""
    app.clock.move(5 * MINUTE)
    for _ in range(20):
        await app.call("GET", "/health")


def verified(event: ReceivedEvent, secret: str) -> Any:
    return Verifier(secret).verify(event.body, event.headers)


async def test_a_receiver_gets_the_signed_events_of_a_batch_in_order(
    app: RunningApp, receiver: WebhookReceiver
) -> None:
    secret = (await add(app, receiver.url))["secret"]
    batch = await app.ended((await app.create("a", "b"))["id"])
    events = await receiver.until(3)
    assert [(event.type, event.batch_id) for event in events] == [(type_, batch["id"]) for type_ in LIFE]
    assert len({event.event_id for event in events}) == 3
    for event in events:
        assert verified(event, secret) == event.content
        assert (event.headers["content-type"], event.content["id"]) == ("application/json", event.event_id)
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(event.body + b" ", event.headers)
    counts = events[-1].content["data"]["request_counts"]
    assert counts == {"total": 2, "succeeded": 2, "errored": 0, "canceled": 0, "expired": 0, "processing": 0}
    assert (events[-1].content["data"]["status"], events[-1].content["data"]["cost_usd"]) == ("ended", 0)
    found = await scrape_until(app, "batchgate_webhook_attempts_total", outcome="delivered")
    assert found.labels("batchgate_webhook_attempts_total", "outcome") == {"delivered", "retried", "failed"}
    assert found.value("batchgate_webhook_attempts_total", outcome="failed") == 0


async def test_the_sdk_of_openai_reads_the_end_of_a_batch_in_its_format(
    app: RunningApp, receiver: WebhookReceiver
) -> None:
    secret = (await add(app, receiver.url, "batch.completed"))["secret"]
    batch = await create(app, requests=chat_rows("a"))
    (event,) = await receiver.until(1)
    with OpenAI(api_key="any", webhook_secret=secret) as client:
        read = client.webhooks.unwrap(event.body, event.headers)
    assert isinstance(read, BatchCompletedWebhookEvent)
    assert (read.object, read.id, read.data.id) == ("event", event.event_id, batch["id"])


FAULTS: list[Callable[[], web.Response]] = [
    lambda: web.Response(status=500),
    lambda: web.Response(status=404),
    lambda: web.Response(status=307, headers={"location": "/elsewhere"}),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_lost_when_a_receiver_refuses_or_redirects_for_an_hour(
    tmp_path: Path, receiver: WebhookReceiver, fault: Callable[[], web.Response]
) -> None:
    receiver.answer = fault
    async with gateway(tmp_path) as app:
        await add(app, receiver.url)
        await app.ended((await app.create("a"))["id"])
        began = app.clock.now()
        while len(receiver.events) < 8:
            await pass_time(app)
        assert app.clock.now() - began >= HOUR
        (first,) = {event.event_id for event in receiver.events}
        receiver.answer = web.Response
        while len([event for event in receiver.events if event.accepted]) < 3:
            await pass_time(app)
        events = await receiver.until(3)
        assert [event.type for event in events] == LIFE
        assert events[0].event_id == first


async def test_nothing_is_lost_when_no_one_listens_for_an_hour(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        async with webhook_receiver() as receiver:
            webhook = await add(app, receiver.url)
        await app.ended((await app.create("a"))["id"])
        for _ in range(12):
            await pass_time(app)
        async with webhook_receiver() as receiver:
            await app.call("PATCH", f"/api/webhooks/{webhook['id']}", json={"url": receiver.url})
            while len(receiver.events) < len(LIFE):  # an attempt at the old URL may still be under way
                await pass_time(app)
            assert [event.type for event in await receiver.until(len(LIFE))] == LIFE


async def test_a_receiver_that_does_not_answer_delays_only_itself_and_gets_everything_later(
    tmp_path: Path, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "TIMEOUT", 0.3)
    receiver.holds = True
    async with webhook_receiver() as other, gateway(tmp_path) as app:
        await add(app, receiver.url)
        await add(app, other.url)
        await app.ended((await app.create("a"))["id"])
        assert [event.type for event in await other.until(3)] == LIFE
        assert [event.type for event in await receiver.until(1, accepted=False)] == ["batch.created"]
        receiver.holds = False
        while not any(event.accepted for event in receiver.events):
            await pass_time(app)
        assert [event.type for event in await receiver.until(3)] == LIFE


async def test_an_event_that_is_refused_for_a_day_fails_and_the_next_one_is_tried(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    receiver.answer = lambda: web.Response(status=500)
    async with gateway(tmp_path) as app:
        await add(app, receiver.url, "batch.created", "batch.completed")
        await app.ended((await app.create("a"))["id"])
        await receiver.until(1, accepted=False)
        app.clock.move(DAY)
        while receiver.events[-1].type == "batch.created":
            await pass_time(app)
        refused = [event.type for event in receiver.events]
        assert refused.count("batch.created") >= deliverer.MIN_ATTEMPTS
        found = await scrape(app)
        assert found.value("batchgate_webhook_attempts_total", outcome="failed") == 1
        assert found.value("batchgate_webhook_attempts_total", outcome="retried") >= deliverer.MIN_ATTEMPTS - 1
        assert found.value("batchgate_webhook_attempts_total", outcome="delivered") == 0


PRIVATE = [
    *("http://127.0.0.1/", "https://127.0.0.1/", "https://10.0.0.1/", "https://10.255.255.255:8443/a"),
    *("https://[::1]/", "https://192.168.1.1/", "https://169.254.169.254/latest", "https://2130706433/"),
    *("http://example.com/", "https://user:secret@example.com/"),
]


async def test_a_webhook_at_a_private_address_is_refused(tmp_path: Path) -> None:
    async with gateway(tmp_path, webhook_networks=()) as app:
        for url in PRIVATE:
            status, answer = await app.call("POST", "/api/webhooks", json={"url": url})
            assert (status, answer["error"]["message"][:4]) == (400, "url:"), url
        webhook = await add(app, "https://example.com/")
        status, _ = await app.call("PATCH", f"/api/webhooks/{webhook['id']}", json={"url": PRIVATE[0]})
        assert status == 400


async def test_a_name_of_a_private_address_is_not_connected_to(tmp_path: Path) -> None:
    connections: list[object] = []
    server = await asyncio.start_server(lambda *streams: connections.append(streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, gateway(tmp_path, webhook_networks=()) as app:
        webhook = await add(app, f"https://localhost:{port}/")
        await app.ended((await app.create("a"))["id"])
        for _ in range(5):
            await pass_time(app)
        _, shown = await app.call("GET", f"/api/webhooks/{webhook['id']}/deliveries")
        assert all("has no public address" in str(each["error"]) for each in shown["data"] if each["attempts"])
        assert any(each["attempts"] for each in shown["data"])
    assert not connections


async def test_webhooks_need_a_master_key_and_are_bounded_in_number(tmp_path: Path) -> None:
    async with running_app(tmp_path / "a") as app:
        status, answer = await app.call("POST", "/api/webhooks", json={"url": "https://example.com/"})
        assert (status, "master key" in answer["error"]["message"]) == (400, True)
    async with gateway(tmp_path / "b") as app:
        for _ in range(16):
            await add(app, "https://example.com/")
        status, answer = await app.call("POST", "/api/webhooks", json={"url": "https://example.com/"})
        assert (status, "quota of webhooks" in answer["error"]["message"]) == (429, True)


async def test_the_secret_is_shown_once(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        webhook = await add(app, "https://example.com/")
        secret = webhook.pop("secret")
        assert secret.startswith("whsec_")
        assert await app.call("GET", f"/api/webhooks/{webhook['id']}") == (200, webhook)
        assert await app.call("GET", "/api/webhooks") == (200, {"data": [webhook]})
        assert await app.call("DELETE", f"/api/webhooks/{webhook['id']}") == (
            200,
            {"id": webhook["id"], "deleted": True},
        )
        assert (await app.call("GET", f"/api/webhooks/{webhook['id']}"))[0] == 404
    assert secret.encode() not in (tmp_path / "batchgate.db").read_bytes()


async def test_a_batch_of_each_api_names_a_url_for_its_own_events(app: RunningApp, receiver: WebhookReceiver) -> None:
    header = {"batchgate-webhook-url": receiver.url}
    status, answer = await app.call("POST", BATCHES, json=create_body("a"), headers=header)
    assert (status, "webhook without a URL" in answer["error"]["message"]) == (400, True)
    secret = (await add(app, None, "batch.created"))["secret"]
    await app.ended((await app.create("silent"))["id"])
    messages = await app.create("a", headers=header)
    unified = await create(app, requests=chat_rows("a"), webhook=receiver.url)
    rows = [{"custom_id": "a", "body": {"model": "m", "messages": [{"role": "user", "content": "a"}]}}]
    body = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "requests": rows}
    _, openai = await app.call("POST", "/openai/v1/batches", json=body, headers=header)
    events = await receiver.until(3)
    assert {event.batch_id for event in events} == {messages["id"], unified["id"], openai["id"]}
    assert all(verified(event, secret)["type"] == "batch.created" for event in events)
    private = {"batchgate-webhook-url": "https://10.0.0.1/"}
    status, answer = await app.call("POST", BATCHES, json=create_body("a"), headers=private)
    assert (status, answer["error"]["message"][:8]) == (400, "webhook:")


async def test_a_repeated_create_returns_its_batch_although_its_webhook_is_gone(
    app: RunningApp, receiver: WebhookReceiver
) -> None:
    header = {"batchgate-webhook-url": receiver.url, "idempotency-key": "k"}
    webhook = await add(app, None, "batch.created")
    batch = await app.create("a", headers=header)
    assert (await app.call("DELETE", f"/api/webhooks/{webhook['id']}"))[0] == 200
    assert (await app.create("a", headers=header))["id"] == batch["id"]


async def test_a_retry_whose_parents_webhook_is_gone_says_how_to_leave_it_out(
    app: RunningApp, receiver: WebhookReceiver
) -> None:
    webhook = await add(app, None, "batch.created")
    parent = await app.ended((await app.create("a", headers={"batchgate-webhook-url": receiver.url}))["id"])
    path, every = f"/api/batches/{parent['id']}/retry", {"custom_ids": ["a"]}
    assert (await app.call("POST", path, json=every))[0] == 200
    assert len(await receiver.until(2)) == 2
    assert (await app.call("DELETE", f"/api/webhooks/{webhook['id']}"))[0] == 200
    status, answer = await app.call("POST", path, json=every)
    assert (status, answer["error"]["message"][:12]) == (400, "webhook_url:")
    assert f"the webhook URL of batch '{parent['id']}' can no longer be used: the workspace has" in str(answer)
    assert "retry without it: webhook_url null" in str(answer)
    status, answer = await app.call("POST", path, json=every | {"webhook_url": "https://10.0.0.1/"})
    assert (status, answer["error"]["message"][:26]) == (400, "webhook_url: it must be an")
    status, silent = await app.call("POST", path, json=every | {"webhook_url": None})
    assert status == 200, silent
    await add(app, None, "batch.created")
    status, child = await app.call("POST", path, json=every | {"webhook_url": f"{receiver.url}?own"})
    assert (await receiver.until(3))[-1].batch_id == child["id"]


async def test_a_rotated_secret_and_the_new_one_both_sign_for_a_while(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    async with gateway(tmp_path) as app:
        webhook = await add(app, receiver.url)
        path = f"/api/webhooks/{webhook['id']}"
        _, rotated = await app.call("POST", f"{path}/rotate", json={"overlap_seconds": 60})
        await app.call("POST", f"{path}/test")
        (event,) = await receiver.until(1)
        for secret in (webhook["secret"], rotated["secret"]):
            assert verified(event, secret)["type"] == "webhook.test"
        app.clock.move(61)
        await app.call("POST", f"{path}/test")
        _, event = await receiver.until(2)
        assert verified(event, rotated["secret"])["data"] == {}
        with pytest.raises(WebhookVerificationError):
            verified(event, webhook["secret"])


async def test_deliveries_are_shown_with_what_went_wrong_and_are_replayed_under_the_same_id(
    app: RunningApp, receiver: WebhookReceiver
) -> None:
    receiver.answer = lambda: web.Response(status=302, headers={"location": "/elsewhere"})
    path = f"/api/webhooks/{(await add(app, receiver.url, 'batch.completed'))['id']}/deliveries"
    batch = await app.ended((await app.create("a"))["id"])
    (refused,) = await receiver.until(1, accepted=False)
    while not (shown := (await app.call("GET", path))[1]["data"][0])["attempts"]:
        pass
    assert (shown["event_id"], shown["batch_id"], shown["state"]) == (refused.event_id, batch["id"], "pending")
    assert (shown["response_status"], "redirects are not followed" in shown["error"]) == (302, True)
    receiver.answer = web.Response
    status, replayed = await app.call("POST", f"{path}/{refused.event_id}/replay")
    assert (status, replayed["state"], replayed["attempts"]) == (200, "pending", 0)
    for number in (1, 2):
        assert {event.event_id for event in await receiver.until(number)} == {refused.event_id}
        while not (delivered := (await app.call("GET", path, params={"state": "delivered"}))[1]["data"]):
            pass
        assert (delivered[0]["error"], delivered[0]["next_attempt_at"]) == (None, None)
        await app.call("POST", f"{path}/{refused.event_id}/replay")
    assert (await app.call("POST", f"{path}/evt_unknown/replay"))[0] == 404
    assert (await app.call("GET", path, params={"after": "evt_unknown"}))[0] == 400


async def test_the_commands_manage_webhooks_and_show_their_deliveries(
    tmp_path: Path, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path) as app:

        async def run(*words: str) -> str:
            monkeypatch.setenv("BATCHGATE_URL", app.url)
            ended = await asyncio.to_thread(CliRunner().invoke, main, ["webhooks", *words])
            assert ended.exit_code == 0, ended.output
            return ended.stdout

        secret = (await run("add", receiver.url, "--event", "batch.completed")).strip()
        (webhook,) = [json.loads(line) for line in (await run("list", "--json")).splitlines()]
        assert receiver.url in await run("list")
        await app.ended((await app.create("a"))["id"])
        (event,) = await receiver.until(1)
        assert verified(event, secret)["type"] == "batch.completed"
        assert event.event_id in await run("deliveries", webhook["id"])
        assert event.event_id in await run("replay", webhook["id"], event.event_id)
        await receiver.until(2)
        new = (await run("rotate", webhook["id"], "--overlap", "0")).strip()
        assert "webhook.test" in await run("test", webhook["id"])
        assert verified((await receiver.until(3))[-1], new)["type"] == "webhook.test"
        assert "is deleted" in await run("remove", webhook["id"])
        assert await run("list", "--json") == ""
