"""API keys in the database: the first key, rotation, revocation and expiry, and attacks on keys."""

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
from batchgate.engine.model.api_key import SCOPES, hash_key
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.tenancy import api_key_cache
from batchgate.settings import ApiKeySettings
from tests.support.error_responses import check_anthropic_error
from tests.support.raw_http import raw_connection, request_head
from tests.support.running_app import BATCHES, RunningApp, running_app
from tests.support.uploads import MULTIPART, OPENAI, file_part, form, part

KEYS = "/api/workspaces/default/keys"
ROOT = {"x-api-key": "sk-root"}
UNKNOWN = "The API key is not known to this gateway."


@pytest.fixture
async def admin_app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose client has an admin key in the settings, with all scopes."""
    keys = {"root": ApiKeySettings(key="sk-root", scopes=SCOPES)}
    async with running_app(tmp_path / "data", api_keys=keys) as app:
        app.client.headers.update(ROOT)
        yield app


async def create_key(app: RunningApp, *, headers: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
    status, key = await app.call("POST", KEYS, json={"name": "key"} | options, headers=headers or {})
    assert status == 200, key
    assert isinstance(key, dict)
    return key


def auth_headers(key: dict[str, Any] | str) -> dict[str, str]:
    return {"x-api-key": key if isinstance(key, str) else key["key"]}


async def status_for(app: RunningApp, headers: dict[str, str], path: str = BATCHES) -> int:
    async with app.client.get(app.url + path, headers=headers) as response:
        await response.read()
        return response.status


# ---------------------------------------------------------------- the first key


@pytest.mark.parametrize("scopes", [None, ["read"], ["read", "submit"]])
async def test_the_first_key_of_a_gateway_must_have_the_scope_admin(
    gateway: RunningApp, scopes: list[str] | None
) -> None:
    options = {} if scopes is None else {"scopes": scopes}
    status, answer = await gateway.call("POST", KEYS, json={"name": "first"} | options)
    assert status == 400
    assert "the first key of a gateway must have the scope admin: from then on" in answer["error"]["message"]
    assert await status_for(gateway, {}) == 200


async def test_every_call_needs_a_key_once_the_first_key_exists(gateway: RunningApp) -> None:
    batch = await gateway.create("a")
    key = await create_key(gateway, scopes=["admin", "read"])
    assert key["key"].startswith("bg-")
    assert len(key["key"]) == len("bg-") + 43  # 256 bits
    assert await status_for(gateway, {}) == 401
    assert await status_for(gateway, auth_headers(key)) == 200
    assert await status_for(gateway, auth_headers(key), f"{BATCHES}/{batch['id']}") == 200
    assert await status_for(gateway, {}, "/health") == 200
    # With a key, any host name is accepted.
    assert await status_for(gateway, {"Host": "stranger.example"}, "/health") == 200
    status, _ = await gateway.call("POST", KEYS, json={"name": "b", "scopes": ["admin"]})
    assert status == 401


async def test_a_gateway_still_requires_a_key_after_its_last_key_has_expired(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        await create_key(app, scopes=["admin"], expires_in_seconds=10)
        app.clock.move(3600)
        assert await status_for(app, {}) == 401
    async with running_app(tmp_path) as restarted:
        assert await status_for(restarted, {}) == 401


async def test_another_gateway_requires_a_key_within_two_seconds_of_the_first_key(tmp_path: Path) -> None:
    # Two processes cannot share a SQLite folder. A write past the gateway simulates the other process.
    async with running_app(tmp_path) as app:
        assert await status_for(app, {}) == 200
        connection = sqlite3.connect(tmp_path / "batchgate.db")
        connection.execute(
            "INSERT INTO api_keys (id, digest, name, workspace, scopes, hint, created_at) "
            "VALUES ('key_1', ?, 'n', 'default', 'read', 'h', 0)",
            (hash_key("sk-bf-elsewhere"),),
        )
        connection.commit()
        connection.close()
        app.clock.move(2)
        assert await status_for(app, {}) == 401
        assert await status_for(app, auth_headers("sk-bf-elsewhere")) == 200


async def test_the_first_key_may_have_any_scope_if_the_settings_have_an_admin_key(admin_app: RunningApp) -> None:
    key = await create_key(admin_app)
    assert key["scopes"] == ["read", "submit"]
    assert await status_for(admin_app, auth_headers(key)) == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
async def test_a_gateway_on_a_public_address_needs_a_key_in_its_settings_or_database(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^host: a loopback address .* there are no API keys; {host} needs"):
        async with running_app(tmp_path, host=host):
            pass
    async with running_app(tmp_path) as app:
        await create_key(app, scopes=["admin"])
    async with running_app(tmp_path, host=host) as app:
        assert await status_for(app, {}) == 401
    async with running_app(tmp_path / "b", host=host, api_keys={"a": ApiKeySettings(key="sk")}) as app:
        assert await status_for(app, auth_headers("sk")) == 200


# ---------------------------------------------------------------- responses with keys


async def test_only_the_create_response_shows_a_key(admin_app: RunningApp) -> None:
    key = await create_key(admin_app, name="night shift", scopes=["submit", "read", "submit"], expires_in_seconds=60)
    secret = key.pop("key")
    assert key["hint"] == secret[-4:]
    assert (key["name"], key["workspace"], key["scopes"]) == ("night shift", "default", ["submit", "read"])
    assert (key["revoked_at"], key["last_used_at"]) == (None, None)
    for path in (f"/api/keys/{key['id']}", KEYS):
        async with admin_app.client.get(admin_app.url + path) as response:
            text = await response.text()
        assert secret not in text
        assert key["id"] in text
    _, found = await admin_app.call("GET", f"/api/keys/{key['id']}")
    assert found == key


async def test_no_response_log_record_or_file_contains_a_key_in_plain_text(
    admin_app: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first = await create_key(admin_app, scopes=["read", "submit", "admin"])
    _, second = await admin_app.call("POST", f"/api/keys/{first['id']}/rotate", json={"grace_seconds": 60})
    answers = []
    for key in (first, second):
        for path in (BATCHES, "/api/keys/key_none", "/nowhere", f"{BATCHES}?limit=0", "/metrics", "/health"):
            for header in (
                {"x-api-key": key["key"]},
                {"Authorization": f"Bearer {key['key']}"},
                {"x-bf-vk": key["key"]},
            ):
                async with admin_app.client.get(admin_app.url + path, headers=header) as response:
                    answers.append(f"{response.headers}{await response.text()}")
        await admin_app.ended((await admin_app.create("a", headers=auth_headers(key)))["id"])
    await admin_app.call("DELETE", f"/api/keys/{first['id']}")
    admin_app.clock.move(120)
    records = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    on_disk = b"".join(path.read_bytes() for path in admin_app.data_dir.rglob("*") if path.is_file())
    for key in (first, second):
        secret = key["key"].removeprefix("bg-")
        assert secret not in records
        assert secret not in "".join(answers)
        assert secret.encode() not in on_disk
        assert key["id"].encode() in on_disk


# ---------------------------------------------------------------- revocation, expiry and rotation


async def test_the_gateway_that_revokes_a_key_refuses_it_at_once(admin_app: RunningApp) -> None:
    key = await create_key(admin_app)
    assert await status_for(admin_app, auth_headers(key)) == 200
    status, revoked = await admin_app.call("DELETE", f"/api/keys/{key['id']}")
    assert status == 200
    assert revoked["revoked_at"] is not None
    assert await status_for(admin_app, auth_headers(key)) == 401
    status, repeated = await admin_app.call("DELETE", f"/api/keys/{key['id']}")
    assert (status, repeated) == (200, revoked)


async def test_a_key_revoked_on_another_gateway_is_refused_within_two_seconds(admin_app: RunningApp) -> None:
    key = await create_key(admin_app)
    assert await status_for(admin_app, auth_headers(key)) == 200
    connection = sqlite3.connect(admin_app.data_dir / "batchgate.db")
    connection.execute("UPDATE api_keys SET revoked_at = 1")
    connection.commit()
    connection.close()
    admin_app.clock.move(2)
    assert await status_for(admin_app, auth_headers(key)) == 401


async def test_a_key_expires_at_its_exact_expiry_time(admin_app: RunningApp) -> None:
    key = await create_key(admin_app, expires_in_seconds=10)
    admin_app.clock.move(9.999_999)
    assert await status_for(admin_app, auth_headers(key)) == 200
    admin_app.clock.move(0.000_001)
    assert await status_for(admin_app, auth_headers(key)) == 401
    _, shown = await admin_app.call("GET", f"/api/keys/{key['id']}")
    assert shown["revoked_at"] is None


async def test_a_rotated_key_works_until_its_grace_period_ends(admin_app: RunningApp) -> None:
    old = await create_key(admin_app, name="ci", scopes=["read"], expires_in_seconds=1000)
    admin_app.clock.move(500)
    status, new = await admin_app.call("POST", f"/api/keys/{old['id']}/rotate", json={"grace_seconds": 60})
    assert status == 200
    assert (new["name"], new["scopes"], new["workspace"]) == ("ci", ["read"], "default")
    assert new["id"] != old["id"]
    assert await status_for(admin_app, auth_headers(old)) == await status_for(admin_app, auth_headers(new)) == 200
    admin_app.clock.move(60)
    assert (await status_for(admin_app, auth_headers(old)), await status_for(admin_app, auth_headers(new))) == (
        401,
        200,
    )
    admin_app.clock.move(939)
    assert await status_for(admin_app, auth_headers(new)) == 200
    admin_app.clock.move(1)
    assert await status_for(admin_app, auth_headers(new)) == 401


async def test_a_rotated_key_without_a_grace_period_is_refused_at_once(admin_app: RunningApp) -> None:
    old = await create_key(admin_app)
    assert await status_for(admin_app, auth_headers(old)) == 200
    _, new = await admin_app.call("POST", f"/api/keys/{old['id']}/rotate", json={})
    assert (await status_for(admin_app, auth_headers(old)), await status_for(admin_app, auth_headers(new))) == (
        401,
        200,
    )
    status, answer = await admin_app.call("POST", f"/api/keys/{old['id']}/rotate", json={})
    assert status == 400
    assert "has expired or was revoked; create another one instead" in answer["error"]["message"]


async def test_a_create_retried_with_the_rotated_key_returns_the_first_batch(admin_app: RunningApp) -> None:
    old = await create_key(admin_app)
    first = await admin_app.create("a", headers=auth_headers(old))
    _, new = await admin_app.call("POST", f"/api/keys/{old['id']}/rotate", json={})
    retried = await admin_app.create("a", headers=auth_headers(new) | {"x-stainless-retry-count": "1"})
    assert retried["id"] == first["id"]


async def test_the_last_admin_key_cannot_be_revoked_if_the_settings_have_none(gateway: RunningApp) -> None:
    key = await create_key(gateway, scopes=["admin"])
    status, answer = await gateway.call("DELETE", f"/api/keys/{key['id']}", headers=auth_headers(key))
    assert status == 400
    assert "is the last valid key with the scope admin" in answer["error"]["message"]


async def test_the_recorded_last_use_of_a_key_is_at_most_a_minute_late(admin_app: RunningApp) -> None:
    key = await create_key(admin_app)
    assert await status_for(admin_app, auth_headers(key)) == 200
    while (await admin_app.call("GET", f"/api/keys/{key['id']}"))[1]["last_used_at"] is None:
        admin_app.clock.move(api_key_cache.USE_WRITE_INTERVAL / 1_000_000)


async def test_a_gateway_that_stops_records_the_last_use_of_its_keys(tmp_path: Path) -> None:
    keys = {"root": ApiKeySettings(key="sk-root", scopes=SCOPES)}
    async with running_app(tmp_path, api_keys=keys) as app:
        key = await create_key(app, headers=ROOT)
        assert await status_for(app, auth_headers(key)) == 200
    async with running_app(tmp_path, api_keys=keys) as app:
        _, found = await app.call("GET", f"/api/keys/{key['id']}", headers=ROOT)
        assert found["last_used_at"] is not None


async def test_an_upload_whose_key_is_revoked_meanwhile_is_refused_and_stores_nothing(admin_app: RunningApp) -> None:
    key = await create_key(admin_app)
    sent, resume = asyncio.Event(), asyncio.Event()
    form_body = form(part("purpose", "batch"), file_part(b"x" * 100_000))

    async def body() -> AsyncIterator[bytes]:
        yield form_body[:50_000]
        sent.set()
        await resume.wait()
        yield form_body[50_000:]

    call = admin_app.client.post(admin_app.url + OPENAI, data=body(), headers=MULTIPART | auth_headers(key))
    task = asyncio.create_task(call.__aenter__())
    await sent.wait()
    await admin_app.call("DELETE", f"/api/keys/{key['id']}")
    resume.set()
    response = await task
    assert response.status == 401
    response.release()
    _, files = await admin_app.call("GET", OPENAI)
    assert files["data"] == []
    assert [path for path in (admin_app.data_dir / "blobs").rglob("*") if path.is_file()] == []


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
async def test_a_malformed_key_is_refused(admin_app: RunningApp, line: str) -> None:
    await create_key(admin_app)
    async with raw_connection(admin_app.url) as connection:
        await connection.send(request_head(f"GET {BATCHES}", line))
        answer = await connection.read_response()
    assert answer.status in {400, 401}
    assert b'"data"' not in answer.body


async def test_hashes_and_parts_of_a_key_are_refused(admin_app: RunningApp) -> None:
    key = await create_key(admin_app)
    for invalid in (hash_key(key["key"]).hex(), key["id"], key["hint"], key["key"][:-1], key["key"] + "A", "bg-"):
        assert await status_for(admin_app, auth_headers(invalid)) == 401


async def test_every_configured_key_is_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call compares every key in the settings, as a hash and in constant time: the duration reveals nothing."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(authentication, "compare_digest", compare)
    keys = {name: ApiKeySettings(key=f"sk-{name}") for name in ("first", "second", "third")}
    async with running_app(tmp_path, api_keys=keys) as app:
        for sent in ("sk-first", "sk-third", "sk-none"):
            compared.clear()
            await status_for(app, auth_headers(sent))
            assert [other for _, other in compared] == [hash_key(sent)] * 3


async def test_keys_of_two_workspaces_in_one_call_are_refused(admin_app: RunningApp) -> None:
    await admin_app.call("POST", "/api/workspaces", json={"name": "other"})
    mine = await create_key(admin_app)
    also_mine = await create_key(admin_app, name="another")
    _, other = await admin_app.call("POST", "/api/workspaces/other/keys", json={"name": "theirs"})
    sent = auth_headers(mine) | {"Authorization": f"Bearer {other['key']}"}
    async with admin_app.client.get(admin_app.url + BATCHES, headers=sent) as response:
        message = check_anthropic_error(
            response.status, response.headers, await response.read(), expected=(401, "authentication_error")
        )
    assert message == "API keys of several workspaces were sent; send one of them."
    assert await status_for(admin_app, auth_headers(mine) | {"Authorization": f"Bearer {also_mine['key']}"}) == 200
    assert await status_for(admin_app, auth_headers(mine) | {"x-bf-vk": "sk-bf-of-a-placeholder"}) == 200


async def test_many_unknown_keys_do_not_fill_the_key_cache(
    admin_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_key_cache, "MAX_ENTRIES", 5)
    key = await create_key(admin_app)
    for number in range(20):
        assert await status_for(admin_app, auth_headers(f"sk-bf-{number}")) == 401
    assert await status_for(admin_app, auth_headers(key)) == 200


async def test_an_invalid_key_name_is_refused(admin_app: RunningApp) -> None:
    for name in ("", "a\0", "a\nb", "x" * 65):
        status, answer = await admin_app.call("POST", KEYS, json={"name": name})
        assert status == 400, answer


async def test_a_create_of_a_key_with_a_huge_body_is_refused(admin_app: RunningApp) -> None:
    data = BytesIO(b'{"name": "' + b"x" * 2_000_000 + b'"}')
    status, _ = await admin_app.call("POST", KEYS, data=data, headers={"Content-Type": "application/json"})
    assert status == 413
