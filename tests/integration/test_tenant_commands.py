"""The commands for workspaces and keys: real processes against a real gateway, from its first key on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.support.command import batchgate, jsonl
from tests.support.gateway_process import SIMULATOR, GatewayProcess


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path / "data", settings=f"{SIMULATOR}simulator.latency = 0.0\n") as process:
        yield process


@pytest.fixture
def root(tmp_path: Path, gateway: GatewayProcess) -> str:
    """Create the first key, and return it."""
    done = batchgate(tmp_path, "keys", "create", "root", "--scope", "admin", gateway=gateway)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_first_key_must_manage_others_and_then_every_command_needs_one(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    refused = batchgate(tmp_path, "keys", "create", "reader", gateway=gateway)
    assert refused.returncode == 1
    assert "Error: scopes: the first key of a gateway must have the scope admin" in refused.stderr
    made = batchgate(tmp_path, "keys", "create", "root", "--scope", "admin", gateway=gateway)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("bg-")
    assert made.stdout.count("\n") == 1
    assert made.stdout.strip() not in made.stderr
    assert "(root), workspace default, scopes admin. Not shown again:" in made.stderr
    assert "The gateway needs an API key" in batchgate(tmp_path, "list", gateway=gateway).stderr


@pytest.mark.parametrize("name", ["a\u202eb", "a\u2066b", "a\x1b[2Jb", "a\x9bb", "a\n"])
def test_a_key_whose_name_could_be_shown_as_another_one_is_refused(
    tmp_path: Path, gateway: GatewayProcess, root: str, name: str
) -> None:
    done = batchgate(tmp_path, "keys", "create", name, gateway=gateway, key=root)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: name: " in done.stderr
    assert name.strip() not in done.stderr or name.isascii()
    listed = batchgate(tmp_path, "keys", "list", "--json", gateway=gateway, key=root)
    assert [json.loads(line)["name"] for line in listed.stdout.splitlines()] == ["root"]


def test_a_key_is_created_used_listed_rotated_and_revoked(tmp_path: Path, gateway: GatewayProcess, root: str) -> None:
    def run(*words: str, key: str = root, status: int = 0) -> str:
        done = batchgate(tmp_path, *words, gateway=gateway, key=key)
        assert done.returncode == status, done.stderr
        return done.stdout

    run("workspaces", "create", "research", "--concurrent-batches", "5")
    words = ("keys", "create", "ci", "--workspace", "research", "--days", "90", "--json")
    created = json.loads(run(*words, "--scope", "read", "--scope", "submit"))
    (tmp_path / "in.jsonl").write_text(jsonl("a"))
    batch = run("submit", "in.jsonl", key=created["key"]).strip()
    assert batch in run("list", key=created["key"])
    run("show", batch, key=root, status=1)
    listed = run("keys", "list", "--workspace", "research")
    assert created["id"] in listed
    assert "read,submit" in listed
    assert "expires" in listed
    assert created["key"] not in listed
    new = run("keys", "rotate", created["id"]).strip()
    run("list", key=created["key"], status=1)
    assert batch in run("list", key=new)
    [current, old] = map(json.loads, run("keys", "list", "--workspace", "research", "--json").splitlines())
    assert (old["id"], old["revoked_at"] is None, current["revoked_at"]) == (created["id"], False, None)
    assert run("keys", "revoke", current["id"]) == f"{current['id']} (ci) is revoked.\n"
    run("list", key=new, status=1)


def test_the_list_of_keys_says_which_are_accepted_now(tmp_path: Path, gateway: GatewayProcess, root: str) -> None:
    def run(*words: str, key: str = root) -> str:
        done = batchgate(tmp_path, *words, gateway=gateway, key=key)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ending(name: str) -> str:
        """Read what the list says of a key after its hint."""
        [line] = [line for line in run("keys", "list").splitlines() if line.split()[1] == name]
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME", line.split(maxsplit=4)[4])

    keys = {name: json.loads(run("keys", "create", name, "--json")) for name in ("replaced", "revoked")}
    assert ending("revoked") == "never                 none                valid"
    run("keys", "revoke", keys["revoked"]["id"])
    assert ending("revoked") == "never                 none                revoked TIME"
    new = json.loads(run("keys", "rotate", keys["replaced"]["id"], "--grace", "3600", "--json"))
    run("list", key=keys["replaced"]["key"])
    said = run("keys", "list")
    assert re.search(rf"^{keys['replaced']['id']} .* replaced, valid until \S+ \S+Z$", said, re.MULTILINE)
    assert re.search(rf"^{new['id']} .* valid$", said, re.MULTILINE)
    body = json.dumps({"name": "brief", "expires_in_seconds": 1}).encode()
    headers = {"x-api-key": root, "content-type": "application/json"}
    with urlopen(Request(f"{gateway.url}/api/workspaces/default/keys", body, headers)) as response:
        assert response.status == 200
    while not ending("brief").endswith("expired TIME"):
        assert ending("brief").endswith(("expires TIME", "expired TIME"))


def test_the_list_of_keys_says_when_each_was_used(tmp_path: Path, gateway: GatewayProcess, root: str) -> None:
    batchgate(tmp_path, "keys", "create", "idle", gateway=gateway, key=root)
    assert gateway.terminate() == 0  # it notes uses once a minute, and when it stops
    with GatewayProcess(data_dir=gateway.data_dir, settings=SIMULATOR) as again:
        heading, idle, used = batchgate(tmp_path, "keys", "list", gateway=again, key=root).stdout.splitlines()
    assert heading.split()[-5:] == ["LAST", "USED", "MONTHLY", "BUDGET", "STATE"]
    assert re.search(r" idle .* never +none +valid$", idle)
    assert re.search(r" root .* \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +none +valid$", used)


def test_a_workspace_is_created_changed_shown_and_archived(tmp_path: Path, gateway: GatewayProcess, root: str) -> None:
    def run(*words: str, status: int = 0) -> str:
        done = batchgate(tmp_path, "workspaces", *words, gateway=gateway, key=root)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    quotas = ("--queued-requests", "1000", "--stored-bytes", "5000000", "--files", "9", "--monthly-spend-usd", "12.5")
    shown = run("create", "research", *quotas)
    assert "Workspace           research\n" in shown
    assert "Queued requests     0 (of 1,000)\n" in shown
    assert "Concurrent batches  0 (no limit)\n" in shown
    assert "Files               0 (of 9)\n" in shown
    assert "Creates per minute  0 (no limit)\n" in shown
    run("update", "research", "--queued-requests", "none", "--concurrent-batches", "7", "--creates-per-minute", "60")
    changed = json.loads(run("show", "research", "--json"))["quotas"]
    assert changed == {
        "queued_requests": None,
        "concurrent_batches": 7,
        "stored_bytes": 5_000_000,
        "files": 9,
        "creates_per_minute": 60,
        "monthly_spend_usd": 12.5,
    }
    assert [line.split()[0] for line in run("list").splitlines()] == ["NAME", "default", "research"]
    assert run("archive", "research") == "Workspace research is archived.\n"
    assert "There is no workspace 'research'" in run("show", "research", status=1)
    assert "exists or is archived" in run("create", "research", status=1)
    assert "it must be a whole number, or none" in run("update", "default", "--queued-requests", "many", status=2)
    assert "it is the default workspace" in run("archive", "default", status=1)
