"""The commands that submit batches and look after them: real processes against a real gateway."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from batchgate.cli.gateway_client import GatewayClient
from tests.support.command import (
    PROGRAM,
    SLOW_SETTINGS,
    answers_by_custom_id,
    batchgate,
    command_environment,
    jsonl,
    message_request,
    run_batch,
    running_command,
    submit_batch,
)
from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.simulated_upstream import simulated_upstream


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    settings = f"{SIMULATOR}simulator.latency = 0.01\n"
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=settings) as process:
        yield process


# Submitting


def test_a_jsonl_file_is_submitted_and_its_results_are_written_beside_it(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    (tmp_path / "questions.jsonl").write_text(f"\n{jsonl('a', 'b')}\r\n  \n{jsonl('c').strip()}")
    done = batchgate(tmp_path, "submit", "questions.jsonl", "--wait", gateway=gateway)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"msgbatch_\w+\n", done.stdout)
    assert re.search(
        r"^All 3 requests succeeded, [\d.]+ s\. Results: questions\.results\.jsonl$", done.stderr, re.MULTILINE
    )
    written = (tmp_path / "questions.results.jsonl").read_text()
    assert answers_by_custom_id(written) == {name: f"You said: I am {name}" for name in "abc"}
    assert {path.name for path in tmp_path.iterdir()} == {"questions.jsonl", "questions.results.jsonl"}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_create_body_is_passed_on_from_stdin_and_results_go_to_stdout(
    tmp_path: Path, gateway: GatewayProcess, indent: int | None
) -> None:
    body = json.dumps({"requests": [message_request("a"), message_request("b")]}, indent=indent)
    done = batchgate(tmp_path, "submit", "-", "--wait", gateway=gateway, stdin=body)
    assert done.returncode == 0, done.stderr
    assert answers_by_custom_id(done.stdout) == {name: f"You said: I am {name}" for name in "ab"}
    assert done.stderr.startswith("msgbatch_")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_file_may_begin_with_a_byte_order_mark(
    tmp_path: Path, gateway: GatewayProcess, encoding: str, whole: bool
) -> None:
    body = json.dumps({"requests": [message_request("a")]}) if whole else jsonl("a")
    (tmp_path / "questions.jsonl").write_bytes(body.encode(encoding))
    done = batchgate(tmp_path, "submit", "questions.jsonl", "--wait", "--output", "-", gateway=gateway)
    assert done.returncode == 0, done.stderr
    assert answers_by_custom_id(done.stdout) == {"a": "You said: I am a"}


def test_without_waiting_the_id_is_all_that_is_printed(tmp_path: Path, gateway: GatewayProcess) -> None:
    done = batchgate(tmp_path, "submit", "-", gateway=gateway, stdin=jsonl("a"))
    assert re.fullmatch(r"msgbatch_\w+\n", done.stdout)
    assert not done.stderr
    assert [*tmp_path.iterdir()] == []


def test_a_batch_of_which_some_fail_ends_with_status_3_and_says_how_many_and_why(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    given = jsonl("good") + "".join(
        json.dumps(message_request(f"bad{number}", max_tokens=0)) + "\n" for number in range(4)
    )
    done = batchgate(tmp_path, "submit", "-", "--wait", "--output", "out.jsonl", gateway=gateway, stdin=given)
    assert done.returncode == 3
    batch_id = done.stdout.strip()
    *_, heading, row, last = done.stderr.splitlines()
    assert heading.split() == ["COUNT", "KIND", "MESSAGE", "FIRST", "IDS"]
    assert row.split(maxsplit=2)[:2] == ["4", "invalid_request_error"]
    assert "max_tokens" in row
    assert row.endswith("  bad0, bad1, bad2, …")
    counts = r"1 of 5 requests succeeded, 4 did not \(4 invalid_request_error\), [\d.]+ s\."
    retry = f"batchgate retry {batch_id}"
    assert re.fullmatch(rf"{counts} Results: out\.jsonl; to retry the others: {retry}", last), last
    assert answers_by_custom_id((tmp_path / "out.jsonl").read_text()) == {
        "good": "You said: I am good",
        **{f"bad{number}": "errored" for number in range(4)},
    }
    only_failed = batchgate(tmp_path, "results", batch_id, "--failed", gateway=gateway)
    assert list(answers_by_custom_id(only_failed.stdout)) == [f"bad{number}" for number in range(4)]
    shown = batchgate(tmp_path, "show", batch_id, gateway=gateway).stdout
    assert shown.endswith(f"\n\n{heading}\n{row}\n")


def test_wait_says_how_a_batch_ended_and_writes_its_results_where_it_is_told(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    batch_id = submit_batch(tmp_path, gateway, "a", "b")
    waited = batchgate(tmp_path, "wait", batch_id, gateway=gateway)
    assert (waited.returncode, waited.stdout) == (0, "")
    last = waited.stderr.splitlines()[-1]
    assert re.fullmatch(rf"All 2 requests succeeded, [\d.]+ s\. Results: batchgate results {batch_id}", last), last
    printed = batchgate(tmp_path, "wait", batch_id, "--output", "-", gateway=gateway)
    assert answers_by_custom_id(printed.stdout) == {name: f"You said: I am {name}" for name in "ab"}
    assert "Results: " not in printed.stderr
    unknown = batchgate(tmp_path, "wait", "msgbatch_unknown", gateway=gateway)
    assert unknown.returncode == 1
    assert "There is no batch 'msgbatch_unknown'" in unknown.stderr


def test_wait_for_a_canceled_batch_ends_with_status_3_and_counts_what_was_canceled(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=f"{SLOW_SETTINGS}concurrency = 1\n") as gateway:
        batch_id = submit_batch(tmp_path, gateway, "a", "b", "c")
        assert batchgate(tmp_path, "cancel", batch_id, gateway=gateway).returncode == 0
        gateway.kill()
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW_SETTINGS) as gateway:
        waited = batchgate(tmp_path, "wait", batch_id, gateway=gateway)
    assert waited.returncode == 3
    assert "0 of 3 requests succeeded, 3 did not (3 canceled), " in waited.stderr
    assert re.search(r"^    3  canceled  The batch was canceled .*  a, b, c$", waited.stderr, re.MULTILINE)


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
    done = batchgate(tmp_path, "submit", "-", gateway=gateway, stdin=given)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: line 10001: {reason}")
    assert done.stderr.count("\n") == 1
    assert batchgate(tmp_path, "list", "--all", gateway=gateway).stdout == before


def test_json_that_is_no_create_body_is_told_how_one_begins(tmp_path: Path, gateway: GatewayProcess) -> None:
    given = json.dumps([message_request("a")], indent=2)
    done = batchgate(tmp_path, "submit", "-", gateway=gateway, stdin=given)
    assert done.returncode == 1
    assert "line 1: " in done.stderr
    assert 'write one request a line, as `jq -c ".[]" FILE` does, or begin with {"requests": [' in done.stderr


def test_a_refusal_of_the_gateway_is_one_line_with_its_message_and_request_id(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    done = batchgate(tmp_path, "submit", "-", gateway=gateway, stdin=jsonl("not a valid id"))
    assert done.returncode == 1
    assert re.fullmatch(r"Error: line 1: custom_id: .* \(request id req_\w+\)\n", done.stderr)


def test_a_place_where_no_results_can_be_written_is_refused_before_the_submission(tmp_path: Path) -> None:
    done = batchgate(tmp_path, "submit", "-", "--wait", "--output", "missing/out.jsonl", stdin=jsonl("a"))
    assert done.returncode == 2
    assert "the folder missing does not exist" in done.stderr


def test_an_output_without_waiting_is_refused(tmp_path: Path) -> None:
    done = batchgate(tmp_path, "submit", "-", "--output", "out.jsonl", stdin=jsonl("a"))
    assert done.returncode == 2
    assert "--output needs --wait" in done.stderr


# Run by a process that is small itself: a child's peak counts from that of the process which it was forked from.
MEASURED = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def test_an_upload_is_never_held_whole_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "large.jsonl").open("w") as file:
        for number in range(1000):
            file.write(json.dumps(message_request(f"q{number}", max_tokens=1, system="x" * 100_000)) + "\n")
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW_SETTINGS) as gateway:
        command = [sys.executable, "-c", MEASURED, *PROGRAM, "submit", str(tmp_path / "large.jsonl")]
        done = subprocess.run(command, env=command_environment(gateway), stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 80 * 1024  # KiB, of which Python with aiohttp takes 40


def test_ctrl_c_while_waiting_says_that_the_batch_goes_on_and_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl("a"))
    with (
        GatewayProcess(data_dir=tmp_path / "data", settings=SLOW_SETTINGS) as gateway,
        running_command(tmp_path, "submit", "a.jsonl", "--wait", "--url", gateway.url) as process,
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
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW_SETTINGS) as first:
        port = urlsplit(first.url).port
        assert port is not None
        with running_command(tmp_path, "submit", "a.jsonl", "--wait", gateway=first) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "Waiting for results\n"
            first.kill()
            with GatewayProcess(data_dir=tmp_path / "data", port=port):
                assert process.wait(30) == 0, process.stderr.read()
    assert answers_by_custom_id((tmp_path / "a.results.jsonl").read_text()) == {
        name: f"You said: I am {name}" for name in "ab"
    }


# What was submitted before


async def test_list_all_goes_through_every_page_and_json_gives_a_batch_a_line(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW_SETTINGS) as gateway:
        async with GatewayClient(gateway.url) as client:
            created = [await client.create(one_request()) for _ in range(101)]
        done = batchgate(tmp_path, "list", "--all", "--json", gateway=gateway)
        gateway.kill()
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == created[::-1]


async def one_request() -> AsyncIterator[bytes]:
    yield json.dumps({"requests": [message_request("a")]}).encode()


def test_show_tells_how_far_a_batch_is(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = run_batch(tmp_path, gateway, "a", "b")
    shown = batchgate(tmp_path, "show", batch_id, gateway=gateway).stdout
    told = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert told["Batch"] == batch_id
    assert told["Status"] == "ended"
    assert told["Requests"] == "2: 2 succeeded"
    assert told["Duration"].endswith(" s")
    assert told["Cost"] == "not known: no price of the model is known"
    assert told["Results"] == f"{gateway.url}/v1/messages/batches/{batch_id}/results"
    as_json = batchgate(tmp_path, "show", batch_id, "--json", gateway=gateway).stdout
    with urlopen(f"{gateway.url}/v1/messages/batches/{batch_id}") as response:
        assert json.loads(as_json) == json.load(response)


def test_a_batch_is_submitted_in_a_lane_and_show_lists_its_jobs(tmp_path: Path) -> None:
    with simulated_upstream("--latency", "0", "--batches", "--speed", "10000") as upstream:
        url = f"{upstream.url}/openai/v1"
        settings = f'[accounts.bulk]\nprovider = "openai"\nbase_url = "{url}"\napi_key = "any"\nlane = "auto"\n'
        with GatewayProcess(data_dir=tmp_path / "data", settings=settings) as gateway:
            (tmp_path / "a.jsonl").write_text(jsonl("a", "b"))
            direct, native = (
                batchgate(tmp_path, "submit", "a.jsonl", "--wait", *lane, gateway=gateway)
                for lane in ((), ("--lane", "native"))
            )
            assert (direct.returncode, native.returncode) == (0, 0), direct.stderr + native.stderr
            shown = [
                batchgate(tmp_path, "show", done.stdout.strip(), gateway=gateway).stdout for done in (direct, native)
            ]
    assert answers_by_custom_id((tmp_path / "a.results.jsonl").read_text()) == {
        name: f"You said: I am {name}" for name in "ab"
    }
    assert "\nJob " not in shown[0]
    few = "2 requests for model 'm' of account 'bulk': direct, the batch has fewer than 100 such requests for the model"
    assert f"\nLane      {few}\n" in shown[0]
    assert "\nLane      2 requests for model 'm' of account 'bulk': native, the lane is native\n" in shown[1]
    job = r"Job       model 'm' of account 'bulk': done, 2 of 2 requests answered; batch_\w+ \(completed\)"
    assert re.search(rf"^{job}$", shown[1], re.MULTILINE), shown[1]


def test_the_commands_say_that_a_batch_waits_for_a_paused_account(tmp_path: Path) -> None:
    reason = "account 'simulator' is paused: the provider rejects its key (401)"
    (tmp_path / "a.jsonl").write_text(jsonl("a"))
    settings = f'{SLOW_SETTINGS}simulator.require_key = "another"\n'
    with (
        GatewayProcess(data_dir=tmp_path / "data", settings=settings) as gateway,
        running_command(tmp_path, "submit", "a.jsonl", "--wait", gateway=gateway) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        batch_id = process.stdout.readline().strip()
        waiting = f"Waiting: {reason}; it goes on by itself when the account works again\n"
        assert waiting in iter(process.stderr.readline, "")
        shown = batchgate(tmp_path, "show", batch_id, gateway=gateway).stdout
        assert f"Waiting   {reason}" in shown.splitlines()
        [_, row] = batchgate(tmp_path, "list", gateway=gateway).stdout.splitlines()
        assert row.endswith("1 processing (paused)")
        gateway.kill()


def test_cancel_stops_a_batch(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=f"{SLOW_SETTINGS}concurrency = 1\n") as gateway:
        batch_id = submit_batch(tmp_path, gateway, "a", "b")
        done = batchgate(tmp_path, "cancel", batch_id, gateway=gateway)
        shown = batchgate(tmp_path, "show", batch_id, "--json", gateway=gateway)
        gateway.kill()
    assert done.stdout.startswith(f"{batch_id} is canceling")
    assert json.loads(shown.stdout)["cancel_initiated_at"]


def test_cancel_of_an_ended_batch_says_where_its_results_are(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = run_batch(tmp_path, gateway, "a")
    done = batchgate(tmp_path, "cancel", batch_id, gateway=gateway)
    assert done.stdout == f"{batch_id} has ended. Its results: batchgate results {batch_id}\n"


def test_results_are_written_to_stdout_or_to_a_file(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = run_batch(tmp_path, gateway, "a", "b")
    printed = batchgate(tmp_path, "results", batch_id, gateway=gateway)
    written = batchgate(tmp_path, "results", batch_id, "--output", "out.jsonl", gateway=gateway)
    assert (printed.returncode, written.returncode) == (0, 0)
    assert answers_by_custom_id(printed.stdout) == {name: f"You said: I am {name}" for name in "ab"}
    assert (tmp_path / "out.jsonl").read_text() == printed.stdout
    assert not written.stdout


def test_results_may_go_to_a_device_or_through_a_link(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = run_batch(tmp_path, gateway, "a")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    (tmp_path / "device").symlink_to("/dev/null")
    for name in ("link.jsonl", "device"):
        assert batchgate(tmp_path, "results", batch_id, "--output", name, gateway=gateway).returncode == 0
    assert answers_by_custom_id((tmp_path / "real.jsonl").read_text()) == {"a": "You said: I am a"}
    assert (tmp_path / "link.jsonl").is_symlink()
    assert Path("/dev/null").is_char_device()


def test_results_that_cannot_be_had_leave_the_file_as_it_was(tmp_path: Path, gateway: GatewayProcess) -> None:
    (tmp_path / "out.jsonl").write_text("of an earlier batch\n")
    done = batchgate(tmp_path, "results", "msgbatch_unknown", "--output", "out.jsonl", gateway=gateway)
    assert done.returncode == 1
    assert "There is no batch 'msgbatch_unknown'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert (tmp_path / "out.jsonl").read_text() == "of an earlier batch\n"


@pytest.mark.parametrize(
    ("command", "batch_id"), [("show", "../health"), ("cancel", "a?b#c"), ("results", "ü/%2F"), ("results", "..")]
)
def test_an_id_is_never_taken_for_a_path(tmp_path: Path, gateway: GatewayProcess, command: str, batch_id: str) -> None:
    done = batchgate(tmp_path, command, batch_id, gateway=gateway)
    assert done.returncode == 1
    assert f"There is no batch {batch_id!r}" in done.stderr
