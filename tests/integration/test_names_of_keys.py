"""Names of API keys and workspaces: none may be shown as another one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support.running_app import RunningApp, running_app

KEYS = "/api/workspaces/default/keys"
TURNS_TEXT_ROUND = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CONTROLS = "\0\t\n\r\x1b\x1f\x7f\x80\x9b\x9f"


@pytest.fixture
async def admin_app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose client has an admin key in the settings."""
    keys = {"root": ApiKeySettings(key="sk-root", scopes=SCOPES)}
    async with running_app(tmp_path / "data", api_keys=keys) as app:
        app.client.headers.update({"x-api-key": "sk-root"})
        yield app


@pytest.mark.parametrize("character", CONTROLS + TURNS_TEXT_ROUND, ids=lambda character: f"U+{ord(character):04X}")
@pytest.mark.parametrize("name", ["%s", "a%s", "%sa", "a%sb"])
async def test_a_name_with_a_control_character_or_one_that_turns_text_round_is_refused(
    admin_app: RunningApp, character: str, name: str
) -> None:
    status, answer = await admin_app.call("POST", KEYS, json={"name": name % character})
    assert status == 400
    assert answer["error"]["message"].startswith("name: ")
    assert (await admin_app.call("GET", KEYS))[1]["data"] == []


@pytest.mark.parametrize("name", ["ночь 夜 é 🌙", "a", "x" * 64, "مفتاح", 'a/b: <c> "d"', "\u2029"])
async def test_a_name_of_any_other_characters_is_kept_as_it_is(admin_app: RunningApp, name: str) -> None:
    assert (await admin_app.call("POST", KEYS, json={"name": name}))[1]["name"] == name
    assert [key["name"] for key in (await admin_app.call("GET", KEYS))[1]["data"]] == [name]


async def test_a_name_of_a_workspace_with_a_newline_at_its_end_is_refused(admin_app: RunningApp) -> None:
    status, answer = await admin_app.call("POST", "/api/workspaces", json={"name": "research\n"})
    assert (status, answer["error"]["message"]) == (400, "name: it ends with a newline")
