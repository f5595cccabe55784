"""``batchgate list``: the newest batches first, with live counts, and filters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import batchgate, jsonl, run_batch
from tests.support.gateway_process import SIMULATOR, GatewayProcess


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=SIMULATOR) as process:
        yield process


def test_list_shows_the_newest_first_and_no_more_than_the_limit(tmp_path: Path, gateway: GatewayProcess) -> None:
    older, newer = run_batch(tmp_path, gateway, "a", "b"), run_batch(tmp_path, gateway, "c")
    done = batchgate(tmp_path, "list", "--limit", "2", gateway=gateway)
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["ID", "STATUS", "CREATED", "MODEL", "NAME", "DONE", "COST", "TIME", "REQUESTS"]
    assert [row.split()[0] for row in rows] == [newer, older]
    assert re.search(r" 1/1 +- +\d+\.\d s +1 succeeded$", rows[0]), rows[0]
    assert re.search(r" 2/2 +- +\d+\.\d s +2 succeeded$", rows[1]), rows[1]
    assert all("  ended  " in row for row in rows)


def test_list_finds_batches_by_name_status_model_account_and_time(tmp_path: Path, gateway: GatewayProcess) -> None:
    other = run_batch(tmp_path, gateway, "a")
    done = batchgate(
        tmp_path,
        "submit",
        "-",
        "--wait",
        "--name",
        "my nightly",
        "--metadata",
        "team=a&b",
        "--metadata",
        "run=7=8",
        gateway=gateway,
        stdin=jsonl("b"),
    )
    named = done.stderr.splitlines()[0]

    def found(*words: str) -> list[str]:
        listed = batchgate(tmp_path, "list", "--all", "--json", *words, gateway=gateway)
        assert listed.returncode == 0, listed.stderr
        return [json.loads(line)["id"] for line in listed.stdout.splitlines()]

    assert found("--name", "my nightly") == found("--metadata", "run=7=8", "--metadata", "team=a&b") == [named]
    wrong = batchgate(tmp_path, "list", "--metadata", "team", gateway=gateway)
    assert (wrong.returncode, "write KEY=VALUE, not 'team'" in wrong.stderr) == (2, True)
    assert found("--name", "nightly", "--status", "canceling", "--account", "openai") == []
    assert found("--status", "ended", "--model", "m", "--account", "simulator")[:2] == [named, other]
    assert found("--created-before", "2020-01-01T00:00:00Z") == []
    assert named in found("--created-after", "2020-01-01T00:00:00+02:00")
    [_, row] = batchgate(tmp_path, "list", "--name", "my nightly", gateway=gateway).stdout.splitlines()
    assert re.search(r"  m  +my nightly  +1/1  .*  1 succeeded$", row), row
    shown = batchgate(tmp_path, "show", named, gateway=gateway).stdout
    assert "\nName      my nightly\n" in shown
    none = batchgate(tmp_path, "list", "--name", "my", gateway=gateway)
    assert (none.stdout, none.stderr) == ("", "No batch matches the filters.\n")
    wrong = batchgate(tmp_path, "list", "--created-after", "yesterday", gateway=gateway)
    assert wrong.returncode == 1
    assert "created_after: 'yesterday' is not a time with a zone in the format of RFC 3339" in wrong.stderr
