"""The command line as a user meets it: real processes against a real gateway."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import click
import pytest

from batchgate import __version__
from batchgate.cli.commands import COMMANDS, main
from tests.support.command import (
    PROGRAM,
    answers_by_custom_id,
    batchgate,
    jsonl,
    running_command,
)
from tests.support.gateway_process import SIMULATOR, GatewayProcess, WorkerProcess, clean_environment
from tests.support.postgres_server import fresh_database

SECRET = "key-that-nobody-may-see"
OPENAI = "OpenAI's API"
"""What the simulated provider calls the second of its base URLs."""
WITH_KEY = f'{SIMULATOR}[api_keys.tests]\nkey_env = "TEST_KEY"\n'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    settings = f"{SIMULATOR}simulator.latency = 0.01\n"
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=settings) as process:
        yield process


# Starting


def test_the_version_is_told_by_the_entry_point_and_by_both_modules(tmp_path: Path) -> None:
    entry_point = str(Path(sys.executable).with_name("batchgate"))
    programs = ([entry_point], PROGRAM, [sys.executable, "-m", "batchgate.cli"])
    told = {
        subprocess.check_output([*program, "--version"], env=clean_environment(), cwd=tmp_path, text=True)
        for program in programs
    }
    assert len(told) == 1
    assert re.fullmatch(r"batchgate \d+\.\d+\.\d+\n", told.pop())


def test_help_is_written_without_importing_what_only_commands_need(tmp_path: Path) -> None:
    script = "import sys; from batchgate.cli import main; main(['--help'], standalone_mode=False)"
    script += "; print({'aiohttp', 'msgspec', 'sqlite3'} & set(sys.modules))"
    shown = subprocess.check_output([sys.executable, "-c", script], env=clean_environment(), cwd=tmp_path, text=True)
    assert shown.endswith("set()\n")
    assert all(re.search(rf"^  {name}  +[A-Z]", shown, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_is_explained_in_a_sentence(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    texts = [command.help, *(option.help for option in command.params if isinstance(option, click.Option))]
    assert all(text is not None and text[0].isupper() and text.rstrip()[-1] == "." for text in texts)


def test_serve_says_where_it_is_and_what_it_works_with(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'{SIMULATOR}[accounts.local]\nprovider = "vllm"\nbase_url = "http://127.0.0.1:1/v1"\n')
    with running_command(tmp_path, "serve", "--config", str(config), "--port", "0", "--data-dir", "kept") as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(8))
        process.terminate()
        assert process.wait(30) == 0
    url = said.split()[4]
    assert said.splitlines() == [
        said.splitlines()[0],
        f'  SDKs      anthropic.Anthropic(base_url="{url}/anthropic")',
        f'            openai.OpenAI(base_url="{url}/openai/v1")',
        f"  Browser   {url}/",
        "  Accounts  simulator, local (vllm)",
        "  Default   none: name an account in each model, such as simulator/MODEL, or set default_provider",
        f"  Data      {tmp_path / 'kept'}",
        f"  Files     {tmp_path / 'kept' / 'blobs'}",
    ]


def test_serve_with_postgresql_names_the_database_and_not_who_connects(tmp_path: Path) -> None:
    with fresh_database() as url:
        config = tmp_path / "settings.toml"
        server = url.replace("postgresql://postgres@", "postgresql://postgres:hidden@")
        config.write_text(f'database_url = "{server}"\n{SIMULATOR}')
        with running_command(tmp_path, "serve", "--config", str(config), "--port", "0") as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(7)]
            process.terminate()
            assert process.wait(30) == 0
    assert said[-1] == f"  Database  PostgreSQL, on this machine{urlsplit(url).path}\n"
    assert "hidden" not in "".join(said)


def test_what_serve_and_worker_write_is_nobody_elses_to_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with GatewayProcess(data_dir=tmp_path / "above" / "data") as gateway:
            done = batchgate(tmp_path, "submit", "-", "--wait", gateway=gateway, stdin=jsonl("a"))
            assert answers_by_custom_id(done.stdout) == {"a": "You said: I am a"}, done.stderr
            written = [tmp_path / "above", *(tmp_path / "above").rglob("*")]
            assert {"data", "batchgate.db", "batchgate.db-wal", "blobs", "lock"} < {path.name for path in written}
            assert sum(path.is_file() for path in written) > 4
            assert [path for path in written if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://u:hidden@h/db", "database_url: postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:hidden@h:x@y/db", "database_url: postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:hidden@127.0.0.1:1/db", "Connection refused"),
    ],
)
def test_a_database_that_is_not_there_stops_the_start_without_showing_its_password(
    tmp_path: Path, url: str, complaint: str
) -> None:
    (tmp_path / "batchgate.toml").write_text(f'database_url = "{url}"\ndatabase_wait_timeout = 0\n{SIMULATOR}')
    done = batchgate(tmp_path, "serve", "--port", "0")
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "hidden" not in done.stderr + done.stdout


def test_without_the_packages_for_postgresql_the_start_says_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError")
    (tmp_path / "batchgate.toml").write_text(f'database_url = "postgresql://h/db"\n{SIMULATOR}')
    done = batchgate(tmp_path, "serve", "--port", "0")
    assert done.returncode == 2
    assert "database_url: the extra for PostgreSQL: pip install 'batchgate[postgres]'" in done.stderr


def test_with_the_log_as_json_the_banner_is_one_object_too(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'{SIMULATOR}[accounts.local]\nprovider = "vllm"\nbase_url = "http://127.0.0.1:1/v1"\n')
    words = ("serve", "--config", str(config), "--port", "0", "--data-dir", "kept", "--log-format", "json")
    with running_command(tmp_path, *words) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "info",
        "logger": "batchgate.cli.banner",
        "action": "ready",
        "message": f"Batchgate {__version__} listens on {said['url']}",
        "version": __version__,
        "url": said["url"],
        "anthropic_base_url": f"{said['url']}/anthropic",
        "openai_base_url": f"{said['url']}/openai/v1",
        "accounts": {"simulator": "simulator", "local": "vllm"},
        "data": str(tmp_path / "kept"),
        "bodies": str(tmp_path / "kept" / "blobs"),
    }


def test_a_worker_says_which_member_it_is_in_its_log_and_what_it_works_with_in_either_form(tmp_path: Path) -> None:
    with fresh_database() as url:
        settings = f'database_url = "{url}"\n{SIMULATOR}'
        with WorkerProcess(data_dir=tmp_path / "data", settings=settings) as worker:
            assert worker.url == ""
        assert re.search(
            r"INFO    batchgate\.server: runs batches as member (\d+) member=\1$", worker.log, re.MULTILINE
        )
        options = ("--log-format", "json")
        with WorkerProcess(data_dir=tmp_path / "data", settings=settings, options=options, port=0) as worker:
            assert worker.url.startswith("http://127.0.0.1:")


def test_serve_without_an_account_says_what_switches_one_on(tmp_path: Path) -> None:
    with running_command(tmp_path, "serve", "--port", "0") as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(7))
    for word in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OLLAMA_HOST", "VLLM_BASE_URL", "[accounts.NAME]", "demo"):
        assert word in said


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("prot = 8080", "Error: prot: there is no such setting; did you mean port?"),
        ("port = 'x'", "Error: port: Input should be an integer"),
        ("= 1", "settings.toml: valid TOML: "),
        ("host = '0.0.0.0'\nport = 0", "Error: host: a loopback address such as 127.0.0.1"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name_and_what_it_expects(
    tmp_path: Path, settings: str, complaint: str
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(settings)
    done = batchgate(tmp_path, "serve", "--config", str(config))
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len([line for line in done.stderr.splitlines() if " INFO " not in line]) == 1
    assert not done.stdout


def test_a_port_that_is_taken_stops_the_start_in_one_line(tmp_path: Path, gateway: GatewayProcess) -> None:
    done = batchgate(tmp_path, "serve", "--port", str(urlsplit(gateway.url).port))
    assert done.returncode == 2
    address = f"127.0.0.1:{urlsplit(gateway.url).port} cannot be used: Address already in use"
    hint = "; --port 0 picks a free port"
    assert done.stderr == f"Error: host, port: an address to listen on; {address}{hint}\n"
    assert [*tmp_path.iterdir()] == [], "nothing was made for a start that could not be"


# The demo


def test_the_demo_runs_a_batch_without_keys_and_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [*PROGRAM, "demo", "--requests", "12"],
        env=clean_environment({"TMPDIR": str(temporary)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Submitted 12 requests as msgbatch_" in done.stdout
    assert "Ended: 12 succeeded." in done.stdout
    assert (
        "9 requests for model 'large-model' of account 'simulator': native, the provider's batch API is cheaper"
        in done.stdout
    )
    assert "3 requests for model 'small-model' of account 'simulator': direct, the batch has fewer than" in done.stdout
    assert ": done, 9 of 9 requests answered; batch_" in done.stdout
    assert "question-0001  You said: What is 1 times 2?" in done.stdout
    assert "ANTHROPIC_API_KEY" in done.stdout
    assert [*tmp_path.rglob("*")] == [temporary]


def test_the_demo_can_keep_its_gateway_until_it_is_interrupted(tmp_path: Path) -> None:
    with running_command(tmp_path, "demo", "--requests", "1", "--keep", "--data-dir", "kept") as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith("The gateway is still running at "))
        url = said.removeprefix("The gateway is still running at ").partition(";")[0]
        with urlopen(f"{url}/v1/messages/batches") as response:
            assert len(json.load(response)["data"]) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert (tmp_path / "kept" / "batchgate.db").is_file()


def test_an_interrupted_demo_stops_and_says_so_by_its_status(tmp_path: Path) -> None:
    with running_command(tmp_path, "demo", "--requests", "5000") as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if line.startswith("Submitted 5000 requests"))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


# Reaching the gateway


def test_where_no_gateway_is_the_failure_says_how_to_start_one(tmp_path: Path) -> None:
    done = batchgate(tmp_path, "list", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: Cannot connect to a gateway at http://127.0.0.1:1 (Connection refused). "
        "Start one with `batchgate serve`, or set its URL with --url or BATCHGATE_URL.\n"
    )


@pytest.mark.parametrize("path", ["/anthropic", "/openai/v1", "/openai/v1/"])
def test_the_base_url_of_an_sdk_is_a_url_of_the_gateway(tmp_path: Path, gateway: GatewayProcess, path: str) -> None:
    done = batchgate(tmp_path, "list", "--url", gateway.url + path)
    assert done.returncode == 0, done.stderr


def test_a_mistyped_command_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    done = batchgate(tmp_path, "lst")
    assert done.returncode == 2
    assert done.stderr.endswith("Error: No such command 'lst'. Did you mean 'list'?\n")


def test_what_is_no_gateway_is_recognized(tmp_path: Path) -> None:
    with running_command(tmp_path, "simulate", "--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        done = batchgate(tmp_path, "list", "--url", url)
    assert done.returncode == 1
    assert f"The server at {url} is not a Batchgate gateway: it answered with HTTP status 405." in done.stderr


def test_the_api_key_is_sent_and_never_shown(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=WITH_KEY, environment={"TEST_KEY": SECRET}) as gateway:
        without = batchgate(tmp_path, "list", gateway=gateway)
        wrong = batchgate(tmp_path, "list", gateway=gateway, key=f"{SECRET}-not")
        right = batchgate(tmp_path, "list", gateway=gateway, key=SECRET)
    assert (without.returncode, wrong.returncode, right.returncode) == (1, 1, 0)
    assert "needs an API key: set BATCHGATE_API_KEY or --api-key." in without.stderr
    shown = without.stderr + wrong.stderr + batchgate(tmp_path, "list", "--help", key=SECRET).stdout
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--url", "ftp://127.0.0.1"),
        ("--url", "127.0.0.1:8080"),
        ("--url", "http://127.0.0.1:99999"),
        ("--url", "http://[::1"),
        ("--api-key", f"{SECRET}\nx"),
    ],
)
def test_an_option_that_cannot_be_sent_is_refused_without_showing_it(tmp_path: Path, option: str, value: str) -> None:
    done = batchgate(tmp_path, "list", option, value)
    assert done.returncode == 2
    assert f"Invalid value for '{option}'" in done.stderr
    assert SECRET not in done.stderr


# The simulated provider


def test_a_simulated_provider_serves_both_dialects_at_the_urls_that_it_prints(tmp_path: Path) -> None:
    with running_command(tmp_path, "simulate", "--port", "0", "--latency", "0", "--seed", "7") as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(3))
        urls = dict(re.findall(r"^  (.+?) +base URL (\S+)$", said, re.MULTILINE))
        settings = (
            f'[accounts.first]\nprovider = "anthropic"\nbase_url = "{urls["Messages"]}"\napi_key = "any"\n'
            f'[accounts.second]\nprovider = "vllm"\nbase_url = "{urls[OPENAI]}"\n'
        )
        with GatewayProcess(data_dir=tmp_path / "data", settings=settings) as gateway:
            for account in ("first", "second"):
                words = ("submit", "-", "--wait", "--account", account)
                done = batchgate(tmp_path, *words, gateway=gateway, stdin=jsonl("a"))
                assert answers_by_custom_id(done.stdout) == {"a": "You said: I am a"}, done.stderr
        process.terminate()
        assert process.wait(30) == 0


def test_a_simulated_provider_serves_batch_apis_when_it_is_told_to(tmp_path: Path) -> None:
    with running_command(tmp_path, "simulate", "--port", "0", "--batches", "--speed", "1000") as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(4)]
        url = said[0].split()[-1]
        assert said[3].startswith(f"  Batch APIs    below {url}/PROVIDER, which is one of anthropic, openai, azure, ")
        with urlopen(f"{url}/openai/v1/batches") as response:
            assert json.loads(response.read())["data"] == []
        process.terminate()
        assert process.wait(30) == 0


def test_the_speed_of_batch_apis_that_are_not_served_is_refused(tmp_path: Path) -> None:
    done = batchgate(tmp_path, "simulate", "--speed", "2")
    assert done.returncode == 2
    assert "--speed needs --batches" in done.stderr
