"""A batch has no more calls in flight than its concurrency cap, in all processes, and disturbs no other batch."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings
from tests.support.databases import DATABASES, Database, new_database
from tests.support.held_provider import ANSWER
from tests.support.http_server import http_server
from tests.support.openai_batches import CHAT, chat_line
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

TIMEOUT: Final = 60.0  # seconds; only a state that never comes should exceed it
CONCURRENCY: Final = 8
LATENCY: Final = 0.002  # seconds
HEADER: Final = "batchgate-concurrency"


class UserProvider:
    """A provider that holds back the calls of each user until the test answers them, and counts them."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        """The most calls that were in flight at once."""
        self._open: set[str] = set()
        self._single: defaultdict[str, int] = defaultdict(int)
        self._changed = asyncio.Condition()

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return settings with an account of this provider."""
        account = AccountSettings(provider="anthropic", base_url=self.url, api_key="k", concurrency=CONCURRENCY)
        return {"accounts": {"a": account}} | more

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call when the test allows it."""
        user = (await request.json())["metadata"]["user_id"]
        async with self._changed:
            self.calls[user] += 1
            self.in_flight[user] += 1
            self.most[user] = max(self.most[user], self.in_flight[user])
            self._changed.notify_all()
            await self._changed.wait_for(lambda: user in self._open or self._single[user] > 0)
            if user not in self._open:
                self._single[user] -= 1
        await asyncio.sleep(LATENCY)
        async with self._changed:
            self.in_flight[user] -= 1
            self._changed.notify_all()
        return web.json_response(ANSWER)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until the calls are as the test wants."""
        async with self._changed:
            await self._changed.wait_for(reached)

    async def answer_calls(self, user: str, number: int) -> None:
        """Answer so many calls of a user."""
        async with self._changed:
            self._single[user] += number
            self._changed.notify_all()
            await self._changed.wait_for(lambda: not self._single[user])

    async def open(self, *users: str) -> None:
        """Answer all calls of users from now on."""
        async with self._changed:
            self._open.update(users)
            self._changed.notify_all()


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def provider() -> AsyncIterator[UserProvider]:
    provider = UserProvider()
    async with http_server(provider.answer) as provider.url, asyncio.timeout(TIMEOUT):
        try:
            yield provider
        finally:
            await provider.open(*provider.calls)


async def create(app: RunningApp, user: str, requests: int, cap: int | None = None) -> str:
    """Create a batch whose calls name a user."""
    body = create_body(*(f"r{number}" for number in range(requests)))
    for request in body["requests"]:
        request["params"]["metadata"] = {"user_id": user}
    headers = {} if cap is None else {HEADER: str(cap)}
    status, batch = await app.call("POST", BATCHES, json=body, headers=headers)
    assert status == 200, batch
    return str(batch["id"])


async def set_cap(app: RunningApp, batch_id: str, cap: object, status: int = 200) -> Any:
    found, answer = await app.call("PUT", f"/api/batches/{batch_id}/concurrency", json={"concurrency": cap})
    assert found == status, answer
    return answer


async def progress(app: RunningApp, batch_id: str) -> dict[str, Any]:
    _, found = await app.call("GET", f"/api/batches/{batch_id}/progress")
    assert isinstance(found, dict)
    return found


async def settle(app: RunningApp) -> None:
    """Give the process more time than it needs to send what it may send."""
    for _ in range(50):
        await app.call("GET", "/health")


async def drain_to(provider: UserProvider, number: int, *apps: RunningApp) -> None:
    """Answer calls until no others take their places, which is so once a lower cap or a pause has been applied."""
    while provider.in_flight["u"] > number:
        await provider.answer_calls("u", 1)
        for app in apps:
            await settle(app)
    provider.most.clear()


async def test_a_cap_bounds_the_calls_is_changed_while_they_run_and_survives_a_restart(
    provider: UserProvider, database: Database, tmp_path: Path
) -> None:
    settings = provider.settings(database_url=database.url, shutdown_timeout=0.0)
    calls, in_flight = provider.calls, provider.in_flight
    async with running_app(tmp_path, **settings) as app:
        batch_id = await create(app, "u", 100, cap=2)
        await provider.until(lambda: in_flight["u"] == 2)
        await settle(app)
        assert calls["u"] == 2
        assert (await set_cap(app, batch_id, 5))["concurrency_cap"] == 5
        await provider.until(lambda: in_flight["u"] == 5)
        for _ in range(2):
            assert (await set_cap(app, batch_id, 1))["concurrency_cap"] == 1
        await drain_to(provider, 1, app)
        before = calls["u"]
        await provider.answer_calls("u", 1)
        await provider.until(lambda: calls["u"] > before)
        assert (calls["u"], provider.most["u"]) == (before + 1, 1)
        assert (await progress(app, batch_id))["concurrency_cap"] == 1
    sent = calls["u"]
    await provider.answer_calls("u", 1)
    async with running_app(tmp_path, **settings) as app:
        await provider.until(lambda: calls["u"] > sent)
        await settle(app)
        assert in_flight["u"] == 1
        assert (await set_cap(app, batch_id, None))["concurrency_cap"] is None
        await provider.until(lambda: in_flight["u"] == CONCURRENCY)
        await set_cap(app, batch_id, 3)
        await drain_to(provider, 3, app)
        await provider.open("u")
        assert (await app.ended(batch_id))["request_counts"]["succeeded"] == 100
        _, timeline = await app.call("GET", f"/api/batches/{batch_id}/timeline")
        entries = [(entry["action"], entry["detail"]) for entry in timeline["data"]]
        assert entries == [("concurrency_changed", detail) for detail in ("5", "1", "none", "3")]
        answer = await set_cap(app, batch_id, 4, status=400)
        assert answer["error"]["message"] == f"Batch {batch_id!r} has ended; its concurrency cap cannot be changed."
    assert provider.most["u"] <= 3


async def test_another_batch_of_the_model_has_the_rest_of_the_calls(
    provider: UserProvider, database: Database, tmp_path: Path
) -> None:
    async with running_app(tmp_path, **provider.settings(database_url=database.url, shutdown_timeout=0.0)) as app:
        for user in ("slow", "slower"):
            await create(app, user, 1_200, cap=1)
        await provider.until(lambda: provider.in_flight.total() == 2)
        other = await create(app, "other", 700)
        await provider.until(lambda: provider.in_flight["other"] == CONCURRENCY - 2)
        await provider.open("other")
        assert (await app.ended(other))["request_counts"]["succeeded"] == 700
        assert provider.calls["slow"] == provider.calls["slower"] == 1
        # It goes on with those that were not in memory.
        await provider.open("slow")
        await provider.until(lambda: provider.calls["slow"] > 150)
        assert provider.most["slow"] == 1


async def test_a_batch_that_gets_a_cap_while_its_calls_wait_for_the_account_keeps_to_it(
    provider: UserProvider, database: Database, tmp_path: Path
) -> None:
    async with running_app(tmp_path, **provider.settings(database_url=database.url, shutdown_timeout=0.0)) as app:
        batch_id = await create(app, "u", 300)
        await provider.until(lambda: provider.in_flight["u"] == CONCURRENCY)
        await set_cap(app, batch_id, 2)
        await drain_to(provider, 2, app)
        await provider.open("u")
        assert (await app.ended(batch_id))["request_counts"]["succeeded"] == provider.calls["u"] == 300
        assert provider.most["u"] == 2


async def test_a_batch_is_paused_resumed_and_canceled_while_calls_wait_for_a_place(
    provider: UserProvider, database: Database, tmp_path: Path
) -> None:
    async with running_app(tmp_path, **provider.settings(database_url=database.url, shutdown_timeout=0.0)) as app:
        batch_id = await create(app, "u", 200, cap=2)
        await provider.until(lambda: provider.in_flight["u"] == 2)
        await app.call("POST", f"/api/batches/{batch_id}/pause")
        await drain_to(provider, 0, app)
        calls = provider.calls["u"]
        assert (await set_cap(app, batch_id, 3))["paused"] is not None
        await settle(app)
        assert provider.calls["u"] == calls
        await app.call("POST", f"/api/batches/{batch_id}/resume")
        await provider.until(lambda: provider.in_flight["u"] == 3)
        await app.call("POST", f"{BATCHES}/{batch_id}/cancel")
        await drain_to(provider, 0, app)
        counts = (await app.ended(batch_id))["request_counts"]
        assert counts["succeeded"] == provider.calls["u"] == 200 - counts["canceled"] < 100


async def test_two_workers_together_keep_to_a_cap(provider: UserProvider, tmp_path: Path) -> None:
    with fresh_database() as url:
        settings = provider.settings(database_url=url, worker_heartbeat_timeout=3.0, shutdown_timeout=0.0)
        async with AsyncExitStack() as stack:
            one, two = [await stack.enter_async_context(running_app(tmp_path, **settings)) for _ in range(2)]
            batch_id = await create(one, "u", 600, cap=3)
            single = await create(two, "single", 20, cap=1)
            await provider.until(lambda: provider.in_flight["u"] == 3 and provider.in_flight["single"] == 1)
            await provider.open("single")
            assert (await two.ended(single))["request_counts"]["succeeded"] == 20
            await set_cap(two, batch_id, 5)
            await provider.until(lambda: provider.in_flight["u"] == 5)
            await set_cap(one, batch_id, 2)
            assert (provider.most["u"], provider.most["single"]) == (5, 1)
            await drain_to(provider, 2, one, two)
            await provider.open("u")
            assert (await one.ended(batch_id))["request_counts"]["succeeded"] == 600
        assert provider.most["u"] <= 2


async def test_each_api_takes_the_cap_of_a_new_batch_and_refuses_a_bad_one(tmp_path: Path) -> None:
    accounts = {"busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    unified = {"requests": create_body("a")["requests"]}
    openai = {"endpoint": CHAT, "completion_window": "24h", "requests": [chat_line("a")]}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        for cap, status in (("3", 200), ("0", 400), ("-1", 400), ("100001", 400), ("2.5", 400), ("few", 400)):
            headers = {HEADER: cap}
            for answer in (
                await app.call("POST", BATCHES, json=create_body("a"), headers=headers),
                await app.call("POST", "/openai/v1/batches", json=openai, headers=headers),
            ):
                assert answer[0] == status, answer
                assert status == 200 or HEADER in answer[1]["error"]["message"]
                assert status == 400 or (await progress(app, answer[1]["id"]))["concurrency_cap"] == 3
        status, batch = await app.call("POST", "/v1/batches", json=unified | {"concurrency": 3})
        assert (status, (await progress(app, batch["id"]))["concurrency_cap"]) == (200, 3)
        for bad in (0, 100_001, 2.5, "few", None, True):
            status, answer = await app.call("POST", "/v1/batches", json=unified | {"concurrency": bad})
            assert (status, answer["error"]["param"]) == (400, "concurrency"), answer
            if bad is not None:
                assert "concurrency" in (await set_cap(app, batch["id"], bad, status=400))["error"]["message"]
        assert (await progress(app, batch["id"]))["concurrency_cap"] == 3
        assert (await progress(app, (await app.create("b"))["id"]))["concurrency_cap"] is None
