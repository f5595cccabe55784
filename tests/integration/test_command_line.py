"""The command line as a user meets it: real processes against a real gateway."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import click
import pytest

from batchgate.cli.commands import COMMANDS, main
from batchgate.cli.gateway_client import GatewayClient
from tests.support.gateway_process import SIMULATOR, GatewayProcess, clean_environment

PROGRAM = [sys.executable, "-m", "batchgate"]
SLOW = f"{SIMULATOR}simulator.latency = 60\n"
SECRET = "key-that-nobody-may-see"
WITH_KEY = f'{SIMULATOR}[api_keys.tests]\nkey_env = "TEST_KEY"\n'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    settings = f"{SIMULATOR}simulator.latency = 0.01\n"
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=settings) as process:
        yield process


def batchgate(
    folder: Path, *words: str, gateway: GatewayProcess | None = None, given: str = "", key: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*PROGRAM, *words],
        input=given,
        env=environment(gateway, key),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running(folder: Path, *words: str, gateway: GatewayProcess | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a command, and end it for certain."""
    with subprocess.Popen(
        [*PROGRAM, *words],
        env=environment(gateway),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def environment(gateway: GatewayProcess | None, key: str | None = None) -> dict[str, str]:
    told: dict[str, str] = {}
    if gateway is not None:
        told["BATCHGATE_URL"] = gateway.url
    if key is not None:
        told["BATCHGATE_API_KEY"] = key
    return clean_environment(told)


def request(name: str, **changed: object) -> dict[str, object]:
    params = {"model": "m", "max_tokens": 20, "messages": [{"role": "user", "content": f"I am {name}"}]}
    return {"custom_id": name, "params": params | changed}


def jsonl(*names: str) -> str:
    return "".join(json.dumps(request(name)) + "\n" for name in names)


def submitted(folder: Path, gateway: GatewayProcess, *names: str) -> str:
    """Submit a batch and return its id."""
    done = batchgate(folder, "submit", "-", gateway=gateway, given=jsonl(*names))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ended(folder: Path, gateway: GatewayProcess, *names: str) -> str:
    """Submit a batch, wait for its end and return its id."""
    done = batchgate(folder, "submit", "-", "--wait", gateway=gateway, given=jsonl(*names))
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[0]


def answers(results: str) -> dict[str, str]:
    """Map the custom ids of results to the texts of their messages, or to how else they ended."""
    found: dict[str, str] = {}
    for line in results.splitlines():
        result = json.loads(line)["result"]
        succeeded = result["type"] == "succeeded"
        found[json.loads(line)["custom_id"]] = result["message"]["content"][0]["text"] if succeeded else result["type"]
    return found


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
    config.write_text(f'{SIMULATOR}[accounts.local]\nprovider = "vllm"\n')
    with running(tmp_path, "serve", "--config", str(config), "--port", "0", "--data-dir", "kept") as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(4))
        process.terminate()
        assert process.wait(30) == 0
    url = said.split()[4]
    assert said.splitlines() == [
        said.splitlines()[0],
        f'  SDK       anthropic.Anthropic(base_url="{url}/anthropic")',
        "  Accounts  simulator, local (vllm)",
        f"  Data      {tmp_path / 'kept'}",
    ]


def test_serve_without_an_account_says_what_switches_one_on(tmp_path: Path) -> None:
    with running(tmp_path, "serve", "--port", "0") as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(5))
    for word in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OLLAMA_HOST", "VLLM_BASE_URL", "[accounts.NAME]", "demo"):
        assert word in said


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("prot = 8080", "Error: prot: Extra inputs are not permitted; the settings are host, port, "),
        ("port = 'x'", "Error: port: Input should be an integer"),
        ("= 1", "settings.toml: valid TOML: "),
        ("host = '0.0.0.0'", "Error: host: a loopback address such as 127.0.0.1"),
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
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_a_port_that_is_taken_stops_the_start_in_one_line(tmp_path: Path, gateway: GatewayProcess) -> None:
    done = batchgate(tmp_path, "serve", "--port", str(urlsplit(gateway.url).port))
    assert done.returncode == 2
    assert "address already in use" in done.stderr
    assert done.stderr.count("\n") == 1


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
    assert "question-0001  You said: What is 1 times 2?" in done.stdout
    assert "ANTHROPIC_API_KEY" in done.stdout
    assert [*tmp_path.rglob("*")] == [temporary]


def test_the_demo_can_keep_its_gateway_until_it_is_interrupted(tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--requests", "1", "--keep", "--data-dir", "kept") as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith("The gateway still serves at "))
        url = said.removeprefix("The gateway still serves at ").partition(";")[0]
        with urlopen(f"{url}/v1/messages/batches") as response:
            assert len(json.load(response)["data"]) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert (tmp_path / "kept" / "batchgate.db").is_file()


def test_an_interrupted_demo_stops_and_says_so_by_its_status(tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--requests", "5000") as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if line.startswith("Submitted 5000 requests"))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


# Submitting


def test_a_jsonl_file_is_submitted_and_its_results_are_written_beside_it(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    (tmp_path / "questions.jsonl").write_text(f"\n{jsonl('a', 'b')}\r\n  \n{jsonl('c').strip()}")
    done = batchgate(tmp_path, "submit", "questions.jsonl", "--wait", gateway=gateway)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"msgbatch_\w+\n", done.stdout)
    assert "All 3 requests succeeded. Results: questions.results.jsonl" in done.stderr
    written = (tmp_path / "questions.results.jsonl").read_text()
    assert answers(written) == {name: f"You said: I am {name}" for name in "abc"}
    assert {path.name for path in tmp_path.iterdir()} == {"questions.jsonl", "questions.results.jsonl"}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_create_body_is_passed_on_from_stdin_and_results_go_to_stdout(
    tmp_path: Path, gateway: GatewayProcess, indent: int | None
) -> None:
    body = json.dumps({"requests": [request("a"), request("b")]}, indent=indent)
    done = batchgate(tmp_path, "submit", "-", "--wait", gateway=gateway, given=body)
    assert done.returncode == 0, done.stderr
    assert answers(done.stdout) == {name: f"You said: I am {name}" for name in "ab"}
    assert done.stderr.startswith("msgbatch_")


def test_without_waiting_the_id_is_all_that_is_printed(tmp_path: Path, gateway: GatewayProcess) -> None:
    done = batchgate(tmp_path, "submit", "-", gateway=gateway, given=jsonl("a"))
    assert re.fullmatch(r"msgbatch_\w+\n", done.stdout)
    assert not done.stderr
    assert [*tmp_path.iterdir()] == []


def test_a_batch_of_which_some_fail_ends_with_status_3_and_says_how_many(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    given = jsonl("good") + json.dumps(request("bad", max_tokens=0))
    done = batchgate(tmp_path, "submit", "-", "--wait", "--output", "out.jsonl", gateway=gateway, given=given)
    assert done.returncode == 3
    assert "1 of 2 requests did not succeed: 1 succeeded, 1 errored. Results: out.jsonl" in done.stderr
    assert answers((tmp_path / "out.jsonl").read_text()) == {"good": "You said: I am good", "bad": "errored"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('["an array"]', "Input should be an object, not an array"),
        ('{"custom_id": "cut', "Invalid JSON: "),
        ("plain text", "Invalid JSON: "),
    ],
)
def test_a_line_that_is_no_object_is_refused_by_its_number_and_nothing_is_stored(
    tmp_path: Path, gateway: GatewayProcess, line: str, reason: str
) -> None:
    before = batchgate(tmp_path, "list", "--all", gateway=gateway).stdout
    # Long enough for much of it to be on its way when the bad line is met.
    given = jsonl(*(f"q{number}" for number in range(10_000))) + line + "\n" + jsonl("last")
    done = batchgate(tmp_path, "submit", "-", gateway=gateway, given=given)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: line 10001: {reason}")
    assert done.stderr.count("\n") == 1
    assert batchgate(tmp_path, "list", "--all", gateway=gateway).stdout == before


def test_json_that_is_no_create_body_is_told_how_one_begins(tmp_path: Path, gateway: GatewayProcess) -> None:
    given = json.dumps([request("a")], indent=2)
    done = batchgate(tmp_path, "submit", "-", gateway=gateway, given=given)
    assert done.returncode == 1
    assert "line 1: " in done.stderr
    assert 'a file that is one JSON document must begin with {"requests": [' in done.stderr


def test_a_refusal_of_the_gateway_is_one_line_with_its_message_and_request_id(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    done = batchgate(tmp_path, "submit", "-", gateway=gateway, given=jsonl("not a valid id"))
    assert done.returncode == 1
    assert re.fullmatch(r"Error: requests\.0\.custom_id: .* \(request id req_\w+\)\n", done.stderr)


def test_a_place_where_no_results_can_be_written_is_refused_before_the_submission(tmp_path: Path) -> None:
    done = batchgate(tmp_path, "submit", "-", "--wait", "--output", "missing/out.jsonl", given=jsonl("a"))
    assert done.returncode == 2
    assert "there is no folder missing for the results" in done.stderr


def test_an_output_without_waiting_is_refused(tmp_path: Path) -> None:
    done = batchgate(tmp_path, "submit", "-", "--output", "out.jsonl", given=jsonl("a"))
    assert done.returncode == 2
    assert "--output needs --wait" in done.stderr


def test_an_upload_is_never_held_whole_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "large.jsonl").open("w") as file:
        for number in range(1000):
            file.write(json.dumps(request(f"q{number}", max_tokens=1, system="x" * 100_000)) + "\n")
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW) as gateway:
        pid = os.posix_spawn(sys.executable, [*PROGRAM, "submit", str(tmp_path / "large.jsonl")], environment(gateway))
        _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert usage.ru_maxrss < 80 * 1024  # KiB, of which Python with aiohttp takes 40


def test_ctrl_c_while_waiting_says_that_the_batch_goes_on_and_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl("a"))
    with (
        GatewayProcess(data_dir=tmp_path / "data", settings=SLOW) as gateway,
        running(tmp_path, "submit", "a.jsonl", "--wait", "--url", gateway.url) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        batch_id = process.stdout.readline().strip()
        assert process.stderr.readline() == "Waiting for results\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert f"batchgate results {batch_id} --url {gateway.url}" in process.stderr.read()
        shown = batchgate(tmp_path, "show", batch_id, "--json", gateway=gateway)
        assert json.loads(shown.stdout)["processing_status"] == "in_progress"
        gateway.kill()
    assert not (tmp_path / "a.results.jsonl").exists()


def test_waiting_outlasts_a_restart_of_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl("a", "b"))
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW) as first:
        port = urlsplit(first.url).port
        assert port is not None
        with running(tmp_path, "submit", "a.jsonl", "--wait", gateway=first) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "Waiting for results\n"
            first.kill()
            with GatewayProcess(data_dir=tmp_path / "data", port=port):
                assert process.wait(30) == 0, process.stderr.read()
    assert answers((tmp_path / "a.results.jsonl").read_text()) == {name: f"You said: I am {name}" for name in "ab"}


# What was submitted before


def test_list_shows_the_newest_first_and_no_more_than_the_limit(tmp_path: Path, gateway: GatewayProcess) -> None:
    older, newer = ended(tmp_path, gateway, "a", "b"), ended(tmp_path, gateway, "c")
    done = batchgate(tmp_path, "list", "--limit", "2", gateway=gateway)
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["ID", "STATUS", "CREATED", "REQUESTS"]
    assert [row.split()[0] for row in rows] == [newer, older]
    assert rows[0].endswith("1 succeeded")
    assert rows[1].endswith("2 succeeded")
    assert all("  ended  " in row for row in rows)


async def test_list_all_goes_through_every_page_and_json_gives_a_batch_a_line(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW) as gateway:
        async with GatewayClient(gateway.url) as client:
            created = [(await client.create(one_request())).id for _ in range(101)]
        done = batchgate(tmp_path, "list", "--all", "--json", gateway=gateway)
        gateway.kill()
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == created[::-1]


async def one_request() -> AsyncIterator[bytes]:
    yield json.dumps({"requests": [request("a")]}).encode()


def test_show_tells_how_far_a_batch_is(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = ended(tmp_path, gateway, "a", "b")
    shown = batchgate(tmp_path, "show", batch_id, gateway=gateway).stdout
    told = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert told["Batch"] == batch_id
    assert told["Status"] == "ended"
    assert told["Requests"] == "2: 2 succeeded"
    assert told["Results"] == f"{gateway.url}/v1/messages/batches/{batch_id}/results"
    as_json = batchgate(tmp_path, "show", batch_id, "--json", gateway=gateway).stdout
    with urlopen(f"{gateway.url}/v1/messages/batches/{batch_id}") as response:
        assert json.loads(as_json) == json.load(response)


def test_cancel_stops_a_batch(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=f"{SLOW}concurrency = 1\n") as gateway:
        batch_id = submitted(tmp_path, gateway, "a", "b")
        done = batchgate(tmp_path, "cancel", batch_id, gateway=gateway)
        shown = batchgate(tmp_path, "show", batch_id, "--json", gateway=gateway)
        gateway.kill()
    assert done.stdout.startswith(f"{batch_id} is canceling")
    assert json.loads(shown.stdout)["cancel_initiated_at"]


def test_cancel_of_an_ended_batch_says_where_its_results_are(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = ended(tmp_path, gateway, "a")
    done = batchgate(tmp_path, "cancel", batch_id, gateway=gateway)
    assert done.stdout == f"{batch_id} has ended. Its results: batchgate results {batch_id}\n"


def test_results_are_written_to_stdout_or_to_a_file(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = ended(tmp_path, gateway, "a", "b")
    printed = batchgate(tmp_path, "results", batch_id, gateway=gateway)
    written = batchgate(tmp_path, "results", batch_id, "--output", "out.jsonl", gateway=gateway)
    assert (printed.returncode, written.returncode) == (0, 0)
    assert answers(printed.stdout) == {name: f"You said: I am {name}" for name in "ab"}
    assert (tmp_path / "out.jsonl").read_text() == printed.stdout
    assert not written.stdout


def test_results_that_cannot_be_had_leave_the_file_as_it_was(tmp_path: Path, gateway: GatewayProcess) -> None:
    (tmp_path / "out.jsonl").write_text("of an earlier batch\n")
    done = batchgate(tmp_path, "results", "msgbatch_unknown", "--output", "out.jsonl", gateway=gateway)
    assert done.returncode == 1
    assert "There is no message batch 'msgbatch_unknown'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert (tmp_path / "out.jsonl").read_text() == "of an earlier batch\n"


@pytest.mark.parametrize("batch_id", ["a/b", "../health", "a?b#c", "ü %2F"])
@pytest.mark.parametrize("command", ["show", "cancel", "results"])
def test_an_id_is_never_taken_for_a_path(tmp_path: Path, gateway: GatewayProcess, command: str, batch_id: str) -> None:
    done = batchgate(tmp_path, command, batch_id, gateway=gateway)
    assert done.returncode == 1
    assert f"There is no message batch {batch_id!r}" in done.stderr


# Reaching the gateway


def test_where_no_gateway_is_the_failure_says_how_to_start_one(tmp_path: Path) -> None:
    done = batchgate(tmp_path, "list", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: There is no gateway at http://127.0.0.1:1 (Connection refused). "
        "Start one with `batchgate serve`, or say where it is with --url or BATCHGATE_URL.\n"
    )


def test_what_is_no_gateway_is_recognized(tmp_path: Path) -> None:
    with running(tmp_path, "simulate", "--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        done = batchgate(tmp_path, "list", "--url", url)
    assert done.returncode == 1
    assert f"{url} answered with HTTP status 405, and not as a Batchgate does." in done.stderr


def test_the_api_key_is_sent_and_never_shown(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=WITH_KEY, environment={"TEST_KEY": SECRET}) as gateway:
        without = batchgate(tmp_path, "list", gateway=gateway)
        wrong = batchgate(tmp_path, "list", gateway=gateway, key=f"{SECRET}-not")
        right = batchgate(tmp_path, "list", gateway=gateway, key=SECRET)
    assert (without.returncode, wrong.returncode, right.returncode) == (1, 1, 0)
    shown = without.stderr + wrong.stderr + batchgate(tmp_path, "list", "--help", key=SECRET).stdout
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("option", "value"), [("--url", "ftp://127.0.0.1"), ("--url", "127.0.0.1:8080"), ("--api-key", f"{SECRET}\nx")]
)
def test_an_option_that_cannot_be_sent_is_refused_without_showing_it(tmp_path: Path, option: str, value: str) -> None:
    done = batchgate(tmp_path, "list", option, value)
    assert done.returncode == 2
    assert f"Invalid value for '{option}'" in done.stderr
    assert SECRET not in done.stderr


# The simulated provider


def test_a_simulated_provider_serves_both_dialects_at_the_urls_that_it_prints(tmp_path: Path) -> None:
    with running(tmp_path, "simulate", "--port", "0", "--latency", "0", "--seed", "7") as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(3))
        urls = dict(re.findall(r"^  (.+?) +base URL (\S+)$", said, re.MULTILINE))
        settings = (
            f'[accounts.first]\nprovider = "anthropic"\nbase_url = "{urls["Messages"]}"\napi_key = "any"\n'
            f'[accounts.second]\nprovider = "vllm"\nbase_url = "{urls["Chat Completions"]}"\n'
        )
        with GatewayProcess(data_dir=tmp_path / "data", settings=settings) as gateway:
            for account in ("first", "second"):
                words = ("submit", "-", "--wait", "--provider", account)
                done = batchgate(tmp_path, *words, gateway=gateway, given=jsonl("a"))
                assert answers(done.stdout) == {"a": "You said: I am a"}, done.stderr
        process.terminate()
        assert process.wait(30) == 0
