"""The commands that control a running batch, and the options of a submission that pause it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import SLOW_SETTINGS, batchgate, message_request, submit_batch
from tests.support.gateway_process import SIMULATOR, GatewayProcess


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    prices = "prices = { m = { input = 1000, output = 1000 } }\n"
    with GatewayProcess(
        data_dir=tmp_path / "data", settings=f"{SIMULATOR}{prices}simulator.latency = 0.01\n"
    ) as process:
        yield process


def test_a_batch_is_paused_shown_resumed_extended_and_prioritized(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data", settings=f"{SLOW_SETTINGS}concurrency = 1\n") as gateway:
        batch_id = submit_batch(tmp_path, gateway, "a", "b")
        commands = (
            "pause --reason typo --native-jobs cancel",
            "show",
            "resume",
            "resume --json",
            "extend 3h",
            "budget --usd 2.5",
            "priority high --scope gateway",
            "concurrency 1",
            "show",
            "concurrency none",
            "lane direct",
            "timeline",
        )
        calls = [command.split() for command in commands]
        paused, shown, resumed, again, moved, changed, raised, capped, shown_high, uncapped, moved_lane, timeline = (
            batchgate(tmp_path, command, batch_id, *options, gateway=gateway).stdout for command, *options in calls
        )
        gateway.kill()
    assert paused.startswith(f"{batch_id} is paused: requests in flight may still finish. To go on: batchgate resume")
    assert re.search(r"^Waiting   paused since 20.*Z: typo$", shown, re.MULTILINE)
    assert resumed == f"{batch_id} is in_progress and is not paused.\n"
    assert json.loads(again)["paused"] is None
    assert re.fullmatch(rf"{batch_id} expires at 20\S+ \S+Z\.\n", moved)
    assert changed == f"{batch_id} has a budget of $2.50 and is not paused.\n"
    assert raised == f"{batch_id} has the priority high beside the batches of all workspaces.\n"
    assert capped == f"{batch_id} has at most 1 call in flight.\n"
    assert moved_lane == f"{batch_id} has the lane direct.\n"
    assert uncapped == f"{batch_id} has no concurrency cap.\n"
    assert "\nPriority  high beside the batches of all workspaces\nCap       1 call in flight\n" in shown_high
    assert re.fullmatch(
        r"\S+ \S+Z  paused: typo; native jobs: cancel\n\S+ \S+Z  resumed\n\S+ \S+Z  deadline moved to \S+ \S+Z\n"
        r"\S+ \S+Z  budget changed: \$2.50\n\S+ \S+Z  priority changed: high beside all workspaces\n"
        r"\S+ \S+Z  concurrency changed: 1\n\S+ \S+Z  concurrency changed: none\n"
        r"\S+ \S+Z  lane changed: direct\n",
        timeline,
    )


def test_a_batch_is_paused_after_as_many_errors_as_its_submission_says(tmp_path: Path, gateway: GatewayProcess) -> None:
    wrong = [message_request(f"r{number}", max_tokens=0) for number in range(2000)]
    (tmp_path / "questions.json").write_text(json.dumps({"requests": wrong}))
    done = batchgate(tmp_path, "submit", "questions.json", "--fail-fast", "1", gateway=gateway)
    assert done.returncode == 0, done.stderr
    batch_id = done.stdout.strip()
    while "paused" not in (shown := batchgate(tmp_path, "timeline", batch_id, gateway=gateway).stdout):
        pass
    assert re.search(r"  paused: the first \d+ results for \S+ are the same error: max_tokens", shown), shown
    assert batchgate(tmp_path, "cancel", batch_id, gateway=gateway).returncode == 0


def test_a_batch_is_paused_at_the_budget_of_its_submission_and_goes_on_with_another(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    requests = [message_request(f"r{number}") for number in range(300)]
    (tmp_path / "questions.json").write_text(json.dumps({"requests": requests}))
    done = batchgate(tmp_path, "submit", "questions.json", "--budget", "0.000001", gateway=gateway)
    assert done.returncode == 0, done.stderr
    batch_id = done.stdout.strip()
    while "Waiting" not in (shown := batchgate(tmp_path, "show", batch_id, gateway=gateway).stdout):
        pass
    assert re.search(r"^Waiting   its budget of \$0.000001 is reached", shown, re.MULTILINE)
    assert re.search(r"^Budget    \$0.000001$", shown, re.MULTILINE)
    refused = batchgate(tmp_path, "resume", batch_id, gateway=gateway)
    assert refused.returncode == 1
    assert "Raise it first." in refused.stderr
    changed = batchgate(tmp_path, "budget", batch_id, "--usd", "none", gateway=gateway)
    assert changed.stdout == f"{batch_id} has no budget and is not paused.\n"
    assert batchgate(tmp_path, "wait", batch_id, gateway=gateway).returncode == 0
