"""Provider keys in the database: encrypted, never returned, and updated in running accounts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import BaseTestServer, TestServer

from batchgate.account_settings import AccountSettings
from batchgate.encryption.fernet import FernetCipher, new_master_key
from batchgate.engine.model.errors import ConfigurationError
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.secret_access import opened_secrets
from batchgate.settings import ApiKeySettings, Settings
from tests.support.running_app import RunningApp, running_app

RIGHT, WRONG = "sk-right-key-of-the-provider", "sk-wrong-key-of-the-provider"
MASTER = new_master_key()
SECRETS = "/api/secrets"


@asynccontextmanager
async def running_provider(**settings: Any) -> AsyncIterator[BaseTestServer]:
    async with TestServer(build_simulator_app(SimulatorSettings(latency=0.0, **settings))) as server:
        yield server


async def store_secret(folder: Path, value: str, master_key: str = MASTER, name: str = "prod") -> None:
    """Store a secret as the command does, which runs in another process than the gateway."""
    settings, environment = Settings(data_dir=str(folder)), {"BATCHGATE_MASTER_KEY": master_key}
    async with opened_secrets(settings, environment) as secrets:
        await secrets.put(name, value)


def account_settings(port: int | None, **settings: Any) -> dict[str, AccountSettings]:
    url = f"http://127.0.0.1:{port}"
    given: dict[str, Any] = {"api_key_secret": "prod", "concurrency": 4} | settings
    return {"mine": AccountSettings(provider="anthropic", base_url=url, **given)}


def running_gateway(folder: Path, **settings: Any) -> Any:
    return running_app(folder, environment={"BATCHGATE_MASTER_KEY": MASTER}, shutdown_timeout=0.0, **settings)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_gateway(tmp_path) as app:
        yield app


async def test_a_secret_is_listed_by_its_name_and_its_value_is_never_returned(app: RunningApp) -> None:
    status, secret = await app.call("PUT", f"{SECRETS}/openai-prod", json={"value": RIGHT})
    assert (status, secret.keys()) == (200, {"name", "created_at", "updated_at"})
    app.clock.move(60)
    _, replaced = await app.call("PUT", f"{SECRETS}/openai-prod", json={"value": WRONG})
    assert replaced["created_at"] == secret["created_at"] < replaced["updated_at"]
    assert await app.call("GET", SECRETS) == (200, {"data": [replaced]})


async def test_a_secret_is_encrypted_in_the_database(app: RunningApp) -> None:
    await app.call("PUT", f"{SECRETS}/prod", json={"value": RIGHT})
    connection = sqlite3.connect(app.data_dir / "batchgate.db")
    ((name, ciphertext),) = connection.execute("SELECT name, ciphertext FROM secrets").fetchall()
    connection.close()
    assert FernetCipher([MASTER], "here").decrypt(name, ciphertext) == RIGHT
    assert RIGHT.encode() not in b"".join(path.read_bytes() for path in app.data_dir.glob("batchgate.db*"))


async def test_a_deleted_secret_is_gone(app: RunningApp) -> None:
    await app.call("PUT", f"{SECRETS}/prod", json={"value": RIGHT})
    assert await app.call("DELETE", f"{SECRETS}/prod") == (200, {"name": "prod", "deleted": True})
    status, refusal = await app.call("DELETE", f"{SECRETS}/prod")
    assert (status, refusal["error"]["message"]) == (404, "there is no secret 'prod'")
    assert await app.call("GET", SECRETS) == (200, {"data": []})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("prod", {"value": "planted\x00"}),
        ("prod", {"value": "planted ü"}),
        ("prod", {"value": " \t"}),
        ("prod", {"value": ""}),
        ("prod", {"value": "planted" * 2_000}),
        ("prod", {"value": ["planted"]}),
        ("prod", {"value": "planted", "more": "planted"}),
        ("prod", "planted"),
        (".planted", {"value": RIGHT}),
        ("x" * 65, {"value": RIGHT}),
    ],
)
async def test_an_invalid_secret_is_refused_without_being_quoted(app: RunningApp, name: str, body: object) -> None:
    status, refusal = await app.call("PUT", f"{SECRETS}/{name}", json=body)
    assert status == 400
    assert "planted" not in refusal["error"]["message"]
    assert await app.call("GET", SECRETS) == (200, {"data": []})


async def test_a_gateway_without_a_master_key_refuses_secrets_with_the_reason(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        status, refusal = await app.call("PUT", f"{SECRETS}/prod", json={"value": RIGHT})
        assert status == 400
        assert refusal["error"]["message"].endswith("set BATCHGATE_MASTER_KEY or master_key_file")
        assert await app.call("GET", SECRETS) == (200, {"data": []})


async def test_only_keys_with_the_scope_admin_can_manage_secrets(tmp_path: Path) -> None:
    keys = {
        "user": ApiKeySettings(key="sk-bf-user"),
        "operator": ApiKeySettings(key="sk-bf-operator", scopes=("admin",)),
    }
    async with running_gateway(tmp_path, api_keys=keys) as app:
        for method, path, body in (
            ("GET", SECRETS, None),
            ("PUT", f"{SECRETS}/prod", {"value": RIGHT}),
            ("DELETE", f"{SECRETS}/prod", None),
        ):
            status, _ = await app.call(method, path, json=body, headers={"x-api-key": "sk-bf-user"})
            assert status == 403
        operator = {"x-api-key": "sk-bf-operator"}
        status, _ = await app.call("PUT", f"{SECRETS}/prod", json={"value": RIGHT}, headers=operator)
        assert status == 200


async def test_an_account_calls_its_provider_with_the_key_in_its_secret(tmp_path: Path) -> None:
    await store_secret(tmp_path, RIGHT)
    async with (
        running_provider(require_key=RIGHT) as server,
        running_gateway(tmp_path, accounts=account_settings(server.port)) as app,
    ):
        batch = await app.ended((await app.create("a", "b"))["id"])
    assert batch["request_counts"]["succeeded"] == 2


async def test_a_secret_replaced_on_this_gateway_is_used_at_once(tmp_path: Path) -> None:
    await store_secret(tmp_path, WRONG)
    async with (
        running_provider(require_key=RIGHT) as server,
        running_gateway(tmp_path, accounts=account_settings(server.port)) as app,
    ):
        await app.call("PUT", f"{SECRETS}/prod", json={"value": RIGHT})
        batch = await app.ended((await app.create("a", "b"))["id"])
    assert batch["request_counts"]["succeeded"] == 2


async def test_a_secret_replaced_by_another_process_is_used_once_the_provider_rejects_the_old_key(
    tmp_path: Path,
) -> None:
    await store_secret(tmp_path, WRONG)
    async with (
        running_provider(require_key=RIGHT) as server,
        running_gateway(tmp_path, accounts=account_settings(server.port)) as app,
    ):
        await store_secret(tmp_path, RIGHT)
        batch = await app.ended((await app.create(*(f"r{number}" for number in range(50))))["id"])
    assert batch["request_counts"]["succeeded"] == 50


async def test_an_account_keeps_its_key_if_its_secret_can_no_longer_be_decrypted(
    tmp_path: Path,
) -> None:
    await store_secret(tmp_path, RIGHT)
    async with (
        running_provider(require_key=RIGHT) as server,
        running_gateway(tmp_path, accounts=account_settings(server.port)) as app,
    ):
        await store_secret(tmp_path, "another", master_key=new_master_key())
        await app.call("PUT", f"{SECRETS}/unrelated", json={"value": "any"})  # makes the gateway read all keys again
        batch = await app.ended((await app.create("a"))["id"])
    assert batch["request_counts"]["succeeded"] == 1


@pytest.mark.parametrize(
    ("environment", "setting", "expected"),
    [
        ({}, "accounts.mine.api_key_secret", "a master key; set BATCHGATE_MASTER_KEY or master_key_file"),
        ({"BATCHGATE_MASTER_KEY": ""}, "accounts.mine.api_key_secret", "a master key; set"),
        ({"BATCHGATE_MASTER_KEY": new_master_key()}, "BATCHGATE_MASTER_KEY", "the master key that the secret 'prod'"),
        ({"BATCHGATE_MASTER_KEY": "no key"}, "BATCHGATE_MASTER_KEY", "number 1 is not one"),
        ({"BATCHGATE_MASTER_KEY": f"{MASTER},damaged"}, "BATCHGATE_MASTER_KEY", "number 2 is not one"),
        ({"BATCHGATE_MASTER_KEY": " "}, "BATCHGATE_MASTER_KEY", "a master key; it is empty"),
    ],
)
async def test_a_gateway_whose_master_key_cannot_decrypt_a_secret_does_not_start(
    tmp_path: Path, environment: dict[str, str], setting: str, expected: str
) -> None:
    await store_secret(tmp_path, RIGHT)
    with pytest.raises(ConfigurationError, match=expected) as raised:
        async with running_app(tmp_path, environment=environment, accounts=account_settings(1)):
            pass
    assert raised.value.setting == setting
    assert MASTER not in str(raised.value)


async def test_a_gateway_with_a_missing_secret_does_not_start_and_names_the_command_that_stores_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="batchgate secrets set prod") as raised:
        async with running_gateway(tmp_path, accounts=account_settings(1)):
            pass
    assert raised.value.setting == "accounts.mine.api_key_secret"


async def test_a_ciphertext_that_is_damaged_or_of_another_secret_is_refused(tmp_path: Path) -> None:
    await store_secret(tmp_path, RIGHT)
    await store_secret(tmp_path, "another", name="other")
    for ciphertext in (
        "(SELECT ciphertext FROM secrets WHERE name = 'other')",
        "CAST(substr(ciphertext, 1, 90) || 'AAAA' || substr(ciphertext, 95) AS BLOB)",
    ):
        connection = sqlite3.connect(tmp_path / "batchgate.db", isolation_level=None)
        connection.execute(f"UPDATE secrets SET ciphertext = {ciphertext} WHERE name = 'prod'")
        connection.close()
        with pytest.raises(ConfigurationError, match="the secret 'prod' was encrypted with"):
            async with running_gateway(tmp_path, accounts=account_settings(1)):
                pass


async def test_a_master_key_may_be_in_a_file_but_not_in_two_places(tmp_path: Path) -> None:
    await store_secret(tmp_path / "data", RIGHT)
    file = tmp_path / "master"
    file.write_text(f"{new_master_key()}\n{MASTER}\n")
    accounts = account_settings(1)
    async with running_app(tmp_path / "data", accounts=accounts, master_key_file=str(file)):
        pass
    with pytest.raises(ConfigurationError, match="either this setting or BATCHGATE_MASTER_KEY, not both"):
        async with running_gateway(tmp_path / "data", accounts=accounts, master_key_file=str(file)):
            pass
    with pytest.raises(ConfigurationError, match=r"a readable file with the master key in it: .*No such file"):
        async with running_app(tmp_path / "data", accounts=accounts, master_key_file=str(tmp_path / "missing")):
            pass
