"""``batchgate secrets`` on the command line, on the databases of gateways that run and that do not."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgate.encryption.fernet import new_master_key
from tests.support.command import PROGRAM
from tests.support.databases import DATABASES, Database, new_database
from tests.support.gateway_process import SIMULATOR, GatewayProcess, clean_environment

PLANTED = "sk-planted-by-command"


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


class Commands:
    """Runs the command on a database with the master keys that are set."""

    def __init__(self, database: Database, *master_keys: str) -> None:
        self.environment = clean_environment({"BATCHGATE_DATA_DIR": str(database.path.parent)})
        if database.url is not None:
            self.environment["BATCHGATE_DATABASE_URL"] = database.url
        self.master_keys = master_keys

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end; a value that it was given never shows."""
        keys = {"BATCHGATE_MASTER_KEY": ",".join(self.master_keys)} if self.master_keys else {}
        done = subprocess.run(
            [*PROGRAM, "secrets", *words],
            input=given,
            env=self.environment | keys,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert PLANTED not in done.stdout + done.stderr
        assert not any(key in done.stdout + done.stderr for key in self.master_keys)
        return done


def test_a_secret_is_stored_from_stdin_listed_and_deleted(database: Database) -> None:
    commands = Commands(database, new_master_key())
    assert commands.run("set", "prod", given=f"{PLANTED}\n").stdout == "prod is stored.\n"
    heading, row = commands.run("list").stdout.splitlines()
    assert heading.split() == ["NAME", "STORED", "REPLACED"]
    assert row.split()[0] == json.loads(commands.run("list", "--json").stdout)["name"] == "prod"
    assert commands.run("delete", "prod").stdout == "prod is deleted.\n"
    again = commands.run("delete", "prod")
    assert (again.returncode, again.stderr) == (1, "Error: there is no secret 'prod'\n")
    assert len(commands.run("list").stdout.splitlines()) == 1


def test_a_master_key_is_replaced_by_putting_a_new_one_before_it_and_encrypting_again(database: Database) -> None:
    old, new = new_master_key(), new_master_key()
    commands = Commands(database, old)
    for name in ("a", "b"):
        commands.run("set", name, given=PLANTED)
    commands.master_keys = (new,)
    refused = commands.run("reencrypt")
    assert refused.returncode == 2
    assert "BATCHGATE_MASTER_KEY: the master key that the secret 'a' was encrypted with" in refused.stderr
    commands.master_keys = (new, old)
    assert commands.run("reencrypt").stdout == "2 secrets are encrypted with the first key.\n"
    commands.master_keys = (new,)
    assert commands.run("reencrypt").returncode == 0
    commands.master_keys = (old,)
    assert commands.run("reencrypt").returncode == 2


def test_a_value_is_asked_for_in_a_terminal_and_does_not_show(tmp_path: Path) -> None:
    with new_database("sqlite", tmp_path) as database:
        commands = Commands(database, new_master_key())
        ours, theirs = pty.openpty()
        environment = commands.environment | {"BATCHGATE_MASTER_KEY": commands.master_keys[0]}
        with subprocess.Popen(
            [*PROGRAM, "secrets", "set", "prod"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            shown = b""
            while b"Value: " not in shown:
                shown += os.read(ours, 1024)
            os.write(ours, f"{PLANTED}\n".encode())
            assert process.stdout is not None
            assert process.stdout.read() == b"prod is stored.\n"
            assert process.wait(30) == 0
        os.close(ours)
        assert PLANTED.encode() not in shown


@pytest.mark.parametrize("words", [("set", "prod", PLANTED), ("set", "--value", PLANTED, "prod")])
def test_a_value_is_never_an_argument(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [*PROGRAM, "secrets", *words],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("prod", "", "Error: No value"),
        ("prod", f"{PLANTED}\nand more", "Error: value: it must be 1 to 8192 visible ASCII characters"),
        ("/prod", PLANTED, "Error: name: it must be 1 to 64 letters"),
    ],
)
def test_what_is_no_secret_is_refused(tmp_path: Path, name: str, given: str, complaint: str) -> None:
    with new_database("sqlite", tmp_path) as database:
        done = Commands(database, new_master_key()).run("set", name, given=given)
    assert done.returncode == 1
    assert done.stderr.startswith(complaint)


def test_without_a_master_key_the_commands_say_where_it_is_looked_for(tmp_path: Path) -> None:
    with new_database("sqlite", tmp_path) as database:
        done = Commands(database).run("set", "prod", given=PLANTED)
    assert done.returncode == 1
    assert "set BATCHGATE_MASTER_KEY or master_key_file" in done.stderr


def test_the_extra_that_encrypts_is_named_where_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError")
    environment = clean_environment({"BATCHGATE_MASTER_KEY": new_master_key()})
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])
    for words in (("list",), ("master-key",)):
        done = subprocess.run(
            [*PROGRAM, "secrets", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "pip install 'batchgate[secrets]'" in done.stderr


def test_a_running_gateway_keeps_its_batches_while_secrets_are_stored_beside_it(tmp_path: Path) -> None:
    with new_database("sqlite", tmp_path / "data") as database:
        settings = f"shutdown_timeout = 0\n{SIMULATOR}simulator.latency = 60\n"
        with GatewayProcess(data_dir=tmp_path / "data", settings=settings) as gateway:
            commands = Commands(database, new_master_key())
            assert commands.run("set", "prod", given=PLANTED).returncode == 0
            assert gateway.running
            assert "error" not in gateway.log.lower()
