"""A read that is sent again gets the answer that a first one would get, though it is answered from memory."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support.raw_http import raw_connection
from tests.support.running_app import BATCHES, RunningApp, running_app

OPENAI_BATCHES = "/openai/v1/batches"
KEYS = "/api/workspaces/default/keys"
ROOT, OWNER, OTHER = ({"x-api-key": f"sk-{name}"} for name in ("root", "owner", "other"))


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    keys = {
        "root": ApiKeySettings(key="sk-root", scopes=SCOPES),
        "owner": ApiKeySettings(key="sk-owner", workspace="owner"),
        "other": ApiKeySettings(key="sk-other", workspace="other"),
    }
    async with running_app(tmp_path / "data", api_keys=keys) as app:
        yield app


async def read(app: RunningApp, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    """Read often enough that the last answer is one that was kept."""
    for _ in range(3):
        answer = await app.call("GET", path, headers=headers)
    return answer


async def new_key(app: RunningApp, **options: Any) -> dict[str, Any]:
    status, key = await app.call("POST", KEYS, json={"name": "key"} | options, headers=ROOT)
    assert status == 200, key
    assert isinstance(key, dict)
    return key


def commit(app: RunningApp, statement: str, *values: object) -> None:
    """Commit as another process does."""
    with closing(sqlite3.connect(app.data_dir / "batchgate.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1


@pytest.mark.parametrize("path", [BATCHES, OPENAI_BATCHES])
async def test_a_read_sees_every_commit_before_it(app: RunningApp, path: str) -> None:
    for number in range(3):
        assert len((await read(app, path, OWNER))[1]["data"]) == number
        batch = await app.create("a", headers=OWNER)
        assert (await app.call("GET", path, headers=OWNER))[1]["data"][0]["id"] == batch["id"]


@pytest.mark.parametrize("path", [BATCHES, OPENAI_BATCHES])
async def test_a_read_sees_the_commit_of_another_process(app: RunningApp, path: str) -> None:
    batch = await app.create("a", headers=OWNER)
    while (await read(app, f"{BATCHES}/{batch['id']}", OWNER))[1]["processing_status"] != "ended":
        pass
    before = await read(app, f"{path}/{batch['id']}", OWNER)
    commit(app, "UPDATE batches SET expires_at = expires_at + 60000000 WHERE id = ?", batch["id"])
    assert (await app.call("GET", f"{path}/{batch['id']}", headers=OWNER)) != before
    commit(app, "UPDATE batches SET expires_at = expires_at - 60000000 WHERE id = ?", batch["id"])
    assert (await app.call("GET", f"{path}/{batch['id']}", headers=OWNER)) == before


@pytest.mark.parametrize("path", [BATCHES, OPENAI_BATCHES])
async def test_equal_reads_of_two_workspaces_get_answers_of_their_own(app: RunningApp, path: str) -> None:
    batch = await app.create("a", headers=OWNER)
    for _ in range(3):
        for headers, ids, status in ((OWNER, [batch["id"]], 200), (OTHER, [], 404)):
            assert [shown["id"] for shown in (await app.call("GET", path, headers=headers))[1]["data"]] == ids
            assert (await app.call("GET", f"{path}/{batch['id']}", headers=headers))[0] == status


async def test_a_key_is_refused_at_the_first_read_after_its_revocation(app: RunningApp) -> None:
    key = await new_key(app)
    headers = {"x-api-key": key["key"]}
    assert (await read(app, BATCHES, headers))[0] == 200
    assert (await app.call("DELETE", f"/api/keys/{key['id']}", headers=ROOT))[0] == 200
    assert (await app.call("GET", BATCHES, headers=headers))[0] == 401


async def test_a_key_that_another_process_revokes_is_refused_after_a_second(app: RunningApp) -> None:
    key = await new_key(app)
    headers = {"x-api-key": key["key"]}
    assert (await read(app, BATCHES, headers))[0] == 200
    commit(app, "UPDATE api_keys SET revoked_at = 1 WHERE id = ?", key["id"])
    await read(app, BATCHES, headers)  # kept again, since the key is still trusted
    app.clock.move(1.001)
    assert (await app.call("GET", BATCHES, headers=headers))[0] == 401


async def test_a_key_that_loses_a_scope_in_another_process_is_refused_after_a_second(app: RunningApp) -> None:
    key = await new_key(app, scopes=["read"])
    headers = {"x-api-key": key["key"]}
    assert (await read(app, BATCHES, headers))[0] == 200
    commit(app, "UPDATE api_keys SET scopes = 'submit' WHERE id = ?", key["id"])
    await read(app, BATCHES, headers)
    app.clock.move(1.001)
    assert (await read(app, BATCHES, headers))[0] == 403


async def test_a_key_is_refused_from_its_expiry_on(app: RunningApp) -> None:
    headers = {"x-api-key": (await new_key(app, expires_in_seconds=10))["key"]}
    app.clock.move(9.9)
    assert (await read(app, BATCHES, headers))[0] == 200
    app.clock.move(0.1)
    assert (await app.call("GET", BATCHES, headers=headers))[0] == 401


async def test_the_first_key_closes_a_gateway_for_reads_that_it_has_answered(gateway: RunningApp) -> None:
    assert (await read(gateway, BATCHES, {}))[0] == 200
    status, _ = await gateway.call("POST", KEYS, json={"name": "first", "scopes": ["admin"]})
    assert status == 200
    assert (await gateway.call("GET", BATCHES))[0] == 401


async def test_a_page_of_another_site_is_refused_what_was_answered_before(gateway: RunningApp) -> None:
    assert (await read(gateway, BATCHES, {}))[0] == 200
    assert (await read(gateway, BATCHES, {"Host": "rebound.example"}))[0] == 403


async def test_an_answer_depends_on_the_headers_of_its_request(gateway: RunningApp) -> None:
    batch = await gateway.ended((await gateway.create("a"))["id"])
    path = f"{BATCHES}/{batch['id']}"
    for host in ("one.test", "two.test"):
        assert (await read(gateway, path, {"Host": host}))[1]["results_url"].startswith(f"http://{host}/anthropic/")
    for provider, found in (("simulator", 1), ("unheard-of", 0)):
        assert len((await read(gateway, BATCHES, {"x-model-provider": provider}))[1]["data"]) == found
    for headers in ({"anthropic-version": "2023-01-01"}, {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"}):
        assert (await read(gateway, path, headers)) == (200, batch | {"results_url": f"{gateway.url}{path}/results"})


async def test_the_url_of_results_follows_the_headers_of_a_trusted_proxy(tmp_path: Path) -> None:
    async with running_app(tmp_path / "data", trusted_proxies=("127.0.0.1",)) as app:
        batch = await app.ended((await app.create("a"))["id"])
        path = f"{BATCHES}/{batch['id']}"
        for headers, base in (
            ({"X-Forwarded-Host": "one.test", "X-Forwarded-Proto": "https"}, "https://one.test"),
            ({"X-Forwarded-Host": "one.test", "X-Forwarded-Prefix": "/p"}, "http://one.test/p"),
            ({"Forwarded": "host=two.test"}, "http://two.test"),
            ({}, app.url),
        ):
            assert (await read(app, path, headers))[1]["results_url"] == f"{base}{path}/results"


async def test_a_key_of_another_workspace_beside_a_good_one_is_refused(app: RunningApp) -> None:
    assert (await read(app, BATCHES, ROOT))[0] == 200
    assert (await read(app, BATCHES, ROOT | {"Authorization": "Bearer sk-owner"}))[0] == 401


async def test_each_answer_has_a_request_id_of_its_own(app: RunningApp) -> None:
    ids = set()
    for _ in range(4):
        async with app.client.get(app.url + BATCHES, headers=ROOT) as response:
            assert response.headers["request-id"] == response.headers["x-request-id"]
            ids.add(response.headers["request-id"])
    assert len(ids) == 4


async def test_each_read_counts_in_the_metrics_and_as_a_use_of_its_key(app: RunningApp) -> None:
    key = await new_key(app, scopes=["read"])
    for _ in range(4):
        await app.call("GET", BATCHES, headers={"x-api-key": key["key"]})
        app.clock.move(0.1)
    async with app.client.get(f"{app.url}/metrics", headers=ROOT) as response:
        assert 'operation="listMessageBatches",status="200"} 4.0' in await response.text()


async def test_a_read_may_ask_for_the_end_of_its_connection_and_for_the_head_alone(gateway: RunningApp) -> None:
    batch = await gateway.create("a")
    target = f"{BATCHES}/{batch['id']}"
    for _ in range(3):
        async with raw_connection(gateway.url) as connection:
            await connection.send(f"GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
            kept_alive = await connection.read_response()
            assert (kept_alive.status, kept_alive.headers["Connection"]) == (200, "keep-alive")
            await connection.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            last = await connection.read_response()
            assert (last.body, last.headers["Connection"]) == (kept_alive.body, "close")
            assert await connection.is_closed()
    async with gateway.client.head(gateway.url + target) as head:
        assert (head.headers["Content-Length"], await head.read()) == (str(len(last.body)), b"")


async def test_reads_that_are_sent_at_once_are_answered_in_their_order(gateway: RunningApp) -> None:
    ids = [(await gateway.create("a"))["id"] for _ in range(2)]
    async with raw_connection(gateway.url) as connection:
        for _ in range(3):
            heads = [f"GET {BATCHES}/{id_} HTTP/1.1\r\nHost: localhost\r\n\r\n" for id_ in ids * 3]
            await connection.send("".join(heads).encode())
            for id_ in ids * 3:
                assert id_.encode() in (await connection.read_response()).body
