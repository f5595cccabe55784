"""The settings over HTTP: all of them, and no secret."""

import json
from pathlib import Path

import msgspec
from msgspec import structs

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings, Settings
from batchgate.shown_settings import shown_settings
from tests.support.running_app import running_app

PLANTED = "planted-0123456789abcdef"


async def test_an_administrator_reads_all_settings(tmp_path: Path) -> None:
    keys = {"admin": ApiKeySettings(key=PLANTED, scopes=SCOPES)}
    async with running_app(tmp_path, api_keys=keys, max_connections=77) as app:
        status, found = await app.call("GET", "/api/settings", headers={"x-api-key": PLANTED})
    assert status == 200
    shown = {setting["name"]: setting for setting in found["data"]}
    assert {name.partition(".")[0] for name in shown} == set(Settings.__struct_fields__)
    assert shown["max_connections"] == {"name": "max_connections", "value": "77", "is_set": True, "is_secret": False}
    assert (shown["port"]["value"], shown["port"]["is_set"]) == ("8080", False)
    assert shown["accounts.simulator.provider"]["value"] == '"simulator"'


def test_what_may_hold_a_secret_is_left_out() -> None:
    account = AccountSettings(
        provider="vllm",
        base_url=f"http://user:{PLANTED}@127.0.0.1:9/v1?key={PLANTED}",
        api_key=PLANTED,
        batch_options={"secret_access_key": PLANTED},
    )
    settings = Settings(
        accounts={"llm": account},
        api_keys={"admin": ApiKeySettings(key=PLANTED)},
        storage_options={"secret_access_key": PLANTED},
        database_url=f"postgresql://user:{PLANTED}@db/batchgate",
        blob_url=f"s3://bucket/prefix?token={PLANTED}",
    )
    in_path = structs.replace(account, base_url=f"https://gateway.example:8443/v1/{PLANTED}/openai")
    settings = structs.replace(settings, accounts={"llm": account, "path": in_path})
    found = shown_settings(settings)
    assert PLANTED not in msgspec.json.encode(found).decode()
    shown = {setting.name: setting for setting in found}
    assert json.loads(shown["accounts.llm.base_url"].value or "") == "http://127.0.0.1:9/v1"
    assert json.loads(shown["accounts.path.base_url"].value or "") == "https://gateway.example:8443/v1/.../openai"
    hidden = ("accounts.llm.api_key", "accounts.llm.batch_options", "api_keys.admin.key")
    for name in (*hidden, "storage_options", "database_url"):
        assert (shown[name].value, shown[name].is_secret, shown[name].is_set) == (None, True, True)
