"""``batchgate watch`` shows batches as they change: real processes against a real gateway."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from batchgate.cli import minute_lines
from batchgate.cli.commands import main
from tests.support.command import (
    PROGRAM,
    SLOW_SETTINGS,
    batchgate,
    command_environment,
    jsonl,
    message_request,
    running_command,
    submit_batch,
)
from tests.support.gateway_process import SIMULATOR, GatewayProcess


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    settings = f"{SIMULATOR}simulator.latency = 0.01\nsimulator.latency_by_model = {{ slow = 2.0 }}\n"
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=settings) as process:
        yield process


def test_watch_ends_with_the_batch_and_reports_as_wait_does(tmp_path: Path, gateway: GatewayProcess) -> None:
    given = jsonl("good") + json.dumps(message_request("bad", max_tokens=0))
    batch_id = batchgate(tmp_path, "submit", "-", gateway=gateway, stdin=given).stdout.strip()
    watched = batchgate(tmp_path, "watch", batch_id, gateway=gateway)
    assert watched.returncode == 3, watched.stderr
    assert watched.stdout.splitlines()[-1] == f"{batch_id} ended 2/2: 1 succeeded, 1 errored"
    assert watched.stderr == batchgate(tmp_path, "wait", batch_id, gateway=gateway).stderr.removeprefix(
        "Waiting for results\n"
    )


def test_watch_shows_a_bar_on_a_terminal(tmp_path: Path, gateway: GatewayProcess) -> None:
    batch_id = submit_batch(tmp_path, gateway, "a", "b")
    terminal, inside = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        command = [*PROGRAM, "watch", batch_id]
        done = subprocess.run(
            command, env=command_environment(gateway), stdin=subprocess.DEVNULL, stdout=inside, timeout=60, check=False
        )
        os.close(inside)
        text = os.read(shown.fileno(), 65536).decode()
    assert done.returncode == 0
    plain = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", text)
    assert f"{batch_id} ended 2/2: 2 succeeded\r\n" in plain
    assert re.search(r"Watching [━#]{24} 2/2", plain)


def test_watch_repeats_the_lines_of_unfinished_batches(
    tmp_path: Path, gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = json.dumps(message_request("a", model="slow"))
    batch_id = batchgate(tmp_path, "submit", "-", gateway=gateway, stdin=given).stdout.strip()
    monkeypatch.setattr(minute_lines, "INTERVAL", 0.05)
    watched = CliRunner().invoke(main, ["watch", batch_id, "--url", gateway.url])
    assert watched.exit_code == 0, watched.output
    *repeated, last = watched.stdout.splitlines()
    assert len(repeated) > 2
    assert repeated[0].startswith(f"{batch_id} in_progress 0/1: 1 processing")
    # It may also be seen between the answer and the end.
    assert all(line.startswith(f"{batch_id} in_progress ") for line in repeated)
    assert last == f"{batch_id} ended 1/1: 1 succeeded"


def test_watch_says_why_a_batch_waits(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW_SETTINGS) as gateway:
        batch_id = submit_batch(tmp_path, gateway, "a")
        with running_command(tmp_path, "watch", gateway=gateway) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"{batch_id} in_progress 0/1")
            assert batchgate(tmp_path, "pause", batch_id, "--reason", "why", gateway=gateway).returncode == 0
            go_on = f"batchgate resume {batch_id}"
            assert re.search(rf"; paused since .*Z: why; to go on: {go_on}$", process.stdout.readline())
        gateway.kill()


def test_watch_of_an_unknown_batch_and_without_a_gateway_fails_at_once(tmp_path: Path, gateway: GatewayProcess) -> None:
    unknown = batchgate(tmp_path, "watch", "msgbatch_unknown", gateway=gateway)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "There is no batch 'msgbatch_unknown'" in unknown.stderr
    alone = batchgate(tmp_path, "watch", "--url", "http://127.0.0.1:1")
    assert alone.returncode == 1
    assert "Cannot connect to a gateway" in alone.stderr


def test_watch_shows_all_batches_through_a_restart_of_the_gateway_until_it_is_stopped(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=SLOW_SETTINGS) as first:
        port = urlsplit(first.url).port
        batch_id = submit_batch(tmp_path, first, "a", "b")
        with (
            running_command(tmp_path, "watch", "--json", gateway=first) as everything,
            running_command(tmp_path, "watch", batch_id, gateway=first) as one,
        ):
            assert one.stdout is not None
            assert everything.stdout is not None
            assert one.stdout.readline().startswith(f"{batch_id} in_progress 0/2: 2 processing")
            assert json.loads(everything.stdout.readline())["data"]["status"] == "in_progress"
            first.kill()
            with GatewayProcess(data_dir=tmp_path / "data", port=port):
                events = map(json.loads, everything.stdout)
                ended = next(event for event in events if event["data"]["status"] == "ended")
                assert (ended["event"], ended["data"]["id"], ended["data"]["succeeded"]) == ("status", batch_id, 2)
                assert one.wait(30) == 0
                assert one.stdout.read().splitlines()[-1] == f"{batch_id} ended 2/2: 2 succeeded"
                everything.send_signal(signal.SIGINT)
                assert everything.wait(30) == 130
