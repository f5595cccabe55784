"""Keys of the database: how a gateway comes to its first one, how they are replaced and end, what nobody finds out."""

import asyncio
import hmac
import logging
import sqlite3
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from batchgate.api import authentication
from batchgate.engine.model.api_key import SCOPES, digest_of
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.tenancy import api_key_cache
from batchgate.settings import ApiKeySettings
from tests.support.raw_http import connected, head
from tests.support.refusals import error_message
from tests.support.running_app import BATCHES, RunningApp, running_app
from tests.support.uploads import MULTIPART, OPENAI, file_part, form, part

KEYS = "/api/workspaces/default/keys"
ROOT = {"x-api-key": "sk-root"}
UNKNOWN = "The API key is not known to this gateway."


@pytest.fixture
async def managed(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose client is an administrator by the settings, with all scopes."""
    keys = {"root": ApiKeySettings(key="sk-root", scopes=SCOPES)}
    async with running_app(tmp_path / "data", api_keys=keys) as app:
        app.client.headers.update(ROOT)
        yield app


async def created(app: RunningApp, *, headers: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
    status, key = await app.call("POST", KEYS, json={"name": "key"} | options, headers=headers or {})
    assert status == 200, key
    assert isinstance(key, dict)
    return key


def by(key: dict[str, Any] | str) -> dict[str, str]:
    return {"x-api-key": key if isinstance(key, str) else key["key"]}


async def status_for(app: RunningApp, headers: dict[str, str], path: str = BATCHES) -> int:
    async with app.client.get(app.url + path, headers=headers) as response:
        await response.read()
        return response.status


# ---------------------------------------------------------------- the first key


@pytest.mark.parametrize("scopes", [None, ["read"], ["read", "submit"]])
async def test_the_first_key_must_be_able_to_create_others(gateway: RunningApp, scopes: list[str] | None) -> None:
    options = {} if scopes is None else {"scopes": scopes}
    status, answer = await gateway.call("POST", KEYS, json={"name": "first"} | options)
    assert status == 400
    assert "the first key of a gateway must have the scope admin: from then on" in answer["error"]["message"]
    assert await status_for(gateway, {}) == 200


async def test_from_the_first_key_on_every_call_needs_one(gateway: RunningApp) -> None:
    batch = await gateway.create("a")
    key = await created(gateway, scopes=["admin", "read"])
    assert key["key"].startswith("sk-bf-")
    assert len(key["key"]) == len("sk-bf-") + 43  # 256 bits
    assert await status_for(gateway, {}) == 401
    assert await status_for(gateway, by(key)) == 200
    assert await status_for(gateway, by(key), f"{BATCHES}/{batch['id']}") == 200
    assert await status_for(gateway, {}, "/health") == 200
    assert await status_for(gateway, {"Host": "stranger.example"}, "/health") == 200  # names are of no matter any more
    status, _ = await gateway.call("POST", KEYS, json={"name": "b", "scopes": ["admin"]})
    assert status == 401


async def test_a_gateway_that_had_keys_never_opens_again(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        await created(app, scopes=["admin"], expires_in_seconds=10)
        app.clock.move(3600)
        assert await status_for(app, {}) == 401
    async with running_app(tmp_path) as again:
        assert await status_for(again, {}) == 401


async def test_another_gateway_on_the_database_hears_of_the_first_key_within_two_seconds(tmp_path: Path) -> None:
    # Two processes cannot share SQLite's folder; what one writes behind another's back stands in for it.
    async with running_app(tmp_path) as app:
        assert await status_for(app, {}) == 200
        connection = sqlite3.connect(tmp_path / "batchgate.db")
        connection.execute(
            "INSERT INTO api_keys (id, digest, name, workspace, scopes, hint, created_at) "
            "VALUES ('key_1', ?, 'n', 'default', 'read', 'h', 0)",
            (digest_of("sk-bf-elsewhere"),),
        )
        connection.commit()
        connection.close()
        app.clock.move(2)
        assert await status_for(app, {}) == 401
        assert await status_for(app, by("sk-bf-elsewhere")) == 200


async def test_with_an_admin_in_the_settings_the_first_key_may_be_any(managed: RunningApp) -> None:
    key = await created(managed)
    assert key["scopes"] == ["read", "submit"]
    assert await status_for(managed, by(key)) == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
async def test_beyond_this_machine_a_gateway_needs_a_key_in_settings_or_database(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^host: a loopback address .* there are no API keys; {host} needs"):
        async with running_app(tmp_path, host=host):
            pass
    async with running_app(tmp_path) as app:
        await created(app, scopes=["admin"])
    async with running_app(tmp_path, host=host) as app:
        assert await status_for(app, {}) == 401
    async with running_app(tmp_path / "b", host=host, api_keys={"a": ApiKeySettings(key="sk")}) as app:
        assert await status_for(app, by("sk")) == 200


# ---------------------------------------------------------------- what is shown


async def test_a_key_is_shown_once(managed: RunningApp) -> None:
    key = await created(managed, name="night shift", scopes=["submit", "read", "submit"], expires_in_seconds=60)
    secret = key.pop("key")
    assert key["hint"] == secret[-4:]
    assert (key["name"], key["workspace"], key["scopes"]) == ("night shift", "default", ["submit", "read"])
    assert (key["revoked_at"], key["last_used_at"]) == (None, None)
    for path in (f"/api/keys/{key['id']}", KEYS):
        async with managed.client.get(managed.url + path) as response:
            text = await response.text()
        assert secret not in text
        assert key["id"] in text
    _, found = await managed.call("GET", f"/api/keys/{key['id']}")
    assert found == key


async def test_a_key_is_nowhere_in_clear(managed: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    first = await created(managed, scopes=["read", "submit", "admin"])
    _, second = await managed.call("POST", f"/api/keys/{first['id']}/rotate", json={"grace_seconds": 60})
    answers = []
    for key in (first, second):
        for path in (BATCHES, "/api/keys/key_none", "/nowhere", f"{BATCHES}?limit=0", "/metrics", "/health"):
            for header in (
                {"x-api-key": key["key"]},
                {"Authorization": f"Bearer {key['key']}"},
                {"x-bf-vk": key["key"]},
            ):
                async with managed.client.get(managed.url + path, headers=header) as response:
                    answers.append(f"{response.headers}{await response.text()}")
        await managed.ended((await managed.create("a", headers=by(key)))["id"])
    await managed.call("DELETE", f"/api/keys/{first['id']}")
    managed.clock.move(120)
    records = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    on_disk = b"".join(path.read_bytes() for path in managed.data_dir.rglob("*") if path.is_file())
    for key in (first, second):
        secret = key["key"].removeprefix("sk-bf-")
        assert secret not in records
        assert secret not in "".join(answers)
        assert secret.encode() not in on_disk
        assert key["id"].encode() in on_disk


# ---------------------------------------------------------------- how keys end


async def test_a_revoked_key_is_refused_here_at_once(managed: RunningApp) -> None:
    key = await created(managed)
    assert await status_for(managed, by(key)) == 200
    status, revoked = await managed.call("DELETE", f"/api/keys/{key['id']}")
    assert status == 200
    assert revoked["revoked_at"] is not None
    assert await status_for(managed, by(key)) == 401
    status, again = await managed.call("DELETE", f"/api/keys/{key['id']}")
    assert (status, again) == (200, revoked)


async def test_a_key_revoked_on_another_gateway_is_refused_within_two_seconds(managed: RunningApp) -> None:
    key = await created(managed)
    assert await status_for(managed, by(key)) == 200
    connection = sqlite3.connect(managed.data_dir / "batchgate.db")
    connection.execute("UPDATE api_keys SET revoked_at = 1")
    connection.commit()
    connection.close()
    managed.clock.move(2)
    assert await status_for(managed, by(key)) == 401


async def test_a_key_expires_to_the_moment(managed: RunningApp) -> None:
    key = await created(managed, expires_in_seconds=10)
    managed.clock.move(9.999_999)
    assert await status_for(managed, by(key)) == 200
    managed.clock.move(0.000_001)
    assert await status_for(managed, by(key)) == 401
    _, shown = await managed.call("GET", f"/api/keys/{key['id']}")
    assert shown["revoked_at"] is None


async def test_a_key_that_is_replaced_works_until_its_grace_is_over(managed: RunningApp) -> None:
    old = await created(managed, name="ci", scopes=["read"], expires_in_seconds=1000)
    managed.clock.move(500)
    status, new = await managed.call("POST", f"/api/keys/{old['id']}/rotate", json={"grace_seconds": 60})
    assert status == 200
    assert (new["name"], new["scopes"], new["workspace"]) == ("ci", ["read"], "default")
    assert new["id"] != old["id"]
    assert await status_for(managed, by(old)) == await status_for(managed, by(new)) == 200
    managed.clock.move(60)
    assert (await status_for(managed, by(old)), await status_for(managed, by(new))) == (401, 200)
    managed.clock.move(939)
    assert await status_for(managed, by(new)) == 200
    managed.clock.move(1)
    assert await status_for(managed, by(new)) == 401


async def test_without_a_grace_a_key_that_is_replaced_is_refused_at_once(managed: RunningApp) -> None:
    old = await created(managed)
    assert await status_for(managed, by(old)) == 200
    _, new = await managed.call("POST", f"/api/keys/{old['id']}/rotate", json={})
    assert (await status_for(managed, by(old)), await status_for(managed, by(new))) == (401, 200)
    status, answer = await managed.call("POST", f"/api/keys/{old['id']}/rotate", json={})
    assert status == 400
    assert "has expired or was revoked; create another one instead" in answer["error"]["message"]


async def test_a_retried_create_is_known_with_the_key_that_came_in_between(managed: RunningApp) -> None:
    old = await created(managed)
    first = await managed.create("a", headers=by(old))
    _, new = await managed.call("POST", f"/api/keys/{old['id']}/rotate", json={})
    again = await managed.create("a", headers=by(new) | {"x-stainless-retry-count": "1"})
    assert again["id"] == first["id"]


async def test_the_last_admin_of_a_gateway_without_one_in_its_settings_stays(gateway: RunningApp) -> None:
    key = await created(gateway, scopes=["admin"])
    status, answer = await gateway.call("DELETE", f"/api/keys/{key['id']}", headers=by(key))
    assert status == 400
    assert "is the last valid key with the scope admin" in answer["error"]["message"]


async def test_the_last_use_of_a_key_is_a_minute_behind_at_the_most(managed: RunningApp) -> None:
    key = await created(managed)
    assert await status_for(managed, by(key)) == 200
    while (await managed.call("GET", f"/api/keys/{key['id']}"))[1]["last_used_at"] is None:
        managed.clock.move(api_key_cache.USES_NOTED_AFTER / 1_000_000)


async def test_a_use_is_noted_when_the_gateway_stops(tmp_path: Path) -> None:
    keys = {"root": ApiKeySettings(key="sk-root", scopes=SCOPES)}
    async with running_app(tmp_path, api_keys=keys) as app:
        key = await created(app, headers=ROOT)
        assert await status_for(app, by(key)) == 200
    async with running_app(tmp_path, api_keys=keys) as app:
        _, found = await app.call("GET", f"/api/keys/{key['id']}", headers=ROOT)
        assert found["last_used_at"] is not None


async def test_a_key_that_is_revoked_while_it_uploads_leaves_nothing(managed: RunningApp) -> None:
    key = await created(managed)
    sent, go_on = asyncio.Event(), asyncio.Event()
    whole = form(part("purpose", "batch"), file_part(b"x" * 100_000))

    async def body() -> AsyncIterator[bytes]:
        yield whole[:50_000]
        sent.set()
        await go_on.wait()
        yield whole[50_000:]

    call = managed.client.post(managed.url + OPENAI, data=body(), headers=MULTIPART | by(key))
    task = asyncio.create_task(call.__aenter__())
    await sent.wait()
    await managed.call("DELETE", f"/api/keys/{key['id']}")
    go_on.set()
    response = await task
    assert response.status == 401
    response.release()
    _, files = await managed.call("GET", OPENAI)
    assert files["data"] == []
    assert [path for path in (managed.data_dir / "blobs").rglob("*") if path.is_file()] == []


# ---------------------------------------------------------------- attacks


@pytest.mark.parametrize(
    "line",
    [
        "x-api-key: sk-bf-\0",
        "x-api-key: " + "k" * 8000,
        "Authorization: Bearer " + "k" * 8000,
        "x-api-key: sk-bf-' OR '1'='1",
        "x-api-key: %",
        "x-bf-vk: \xff\xfe\x80",
        "x-goog-api-key: ../../etc/passwd",
        "Authorization: Bearer sk-bf-a, sk-bf-b",
    ],
    ids=["nul", "huge", "huge bearer", "sql", "wildcard", "no text", "path", "two"],
)
async def test_what_is_no_key_opens_nothing(managed: RunningApp, line: str) -> None:
    await created(managed)
    async with connected(managed.url) as connection:
        await connection.send(head(f"GET {BATCHES}", line))
        answer = await connection.answer()
    assert answer.status in {400, 401}
    assert b'"data"' not in answer.body


async def test_the_hash_of_a_key_is_no_key(managed: RunningApp) -> None:
    key = await created(managed)
    for wrong in (digest_of(key["key"]).hex(), key["id"], key["hint"], key["key"][:-1], key["key"] + "A", "sk-bf-"):
        assert await status_for(managed, by(wrong)) == 401


async def test_how_soon_a_key_is_found_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key of the settings is compared, whichever it is, and as a hash in constant time."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(authentication, "compare_digest", compare)
    keys = {name: ApiKeySettings(key=f"sk-{name}") for name in ("first", "second", "third")}
    async with running_app(tmp_path, api_keys=keys) as app:
        for sent in ("sk-first", "sk-third", "sk-none"):
            compared.clear()
            await status_for(app, by(sent))
            assert [other for _, other in compared] == [digest_of(sent)] * 3


async def test_keys_of_two_workspaces_in_one_call_are_refused(managed: RunningApp) -> None:
    await managed.call("POST", "/api/workspaces", json={"name": "other"})
    mine = await created(managed)
    also_mine = await created(managed, name="another")
    _, other = await managed.call("POST", "/api/workspaces/other/keys", json={"name": "theirs"})
    sent = by(mine) | {"Authorization": f"Bearer {other['key']}"}
    async with managed.client.get(managed.url + BATCHES, headers=sent) as response:
        message = error_message(
            response.status, response.headers, await response.read(), expected=(401, "authentication_error")
        )
    assert message == "API keys of several workspaces were sent; send one of them."
    assert await status_for(managed, by(mine) | {"Authorization": f"Bearer {also_mine['key']}"}) == 200
    assert await status_for(managed, by(mine) | {"x-bf-vk": "sk-bf-of-a-placeholder"}) == 200


async def test_guesses_do_not_fill_the_memory(managed: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_key_cache, "MOST_KNOWN", 5)
    key = await created(managed)
    for number in range(20):
        assert await status_for(managed, by(f"sk-bf-{number}")) == 401
    assert await status_for(managed, by(key)) == 200


async def test_a_name_that_is_no_line_of_text_is_refused(managed: RunningApp) -> None:
    for name in ("", "a\0", "a\nb", "x" * 65):
        status, answer = await managed.call("POST", KEYS, json={"name": name})
        assert status == 400, answer


async def test_a_huge_body_for_a_key_is_refused(managed: RunningApp) -> None:
    data = BytesIO(b'{"name": "' + b"x" * 2_000_000 + b'"}')
    status, _ = await managed.call("POST", KEYS, data=data, headers={"Content-Type": "application/json"})
    assert status == 413
