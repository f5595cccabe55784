"""The command that retries what did not succeed: real processes against a real gateway."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import answers_by_custom_id, batchgate, message_request
from tests.support.gateway_process import SIMULATOR, GatewayProcess


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=SIMULATOR) as process:
        yield process


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, gateway: GatewayProcess) -> str:
    """Run a batch of two requests, one of which fails: the simulated model refuses a maximum of no tokens."""
    folder = tmp_path_factory.mktemp("parent")
    bad = message_request("bad", max_tokens=0)
    body = json.dumps({"requests": [message_request("good"), bad]})
    done = batchgate(folder, "submit", "-", "--wait", "--output", "out.jsonl", gateway=gateway, stdin=body)
    assert done.returncode == 3
    parent = done.stdout.strip()
    assert done.stderr.splitlines()[-1].endswith(f"; to retry the others: batchgate retry {parent}")
    return parent


def test_a_retry_prints_its_id_and_shows_what_it_retries(tmp_path: Path, gateway: GatewayProcess, parent: str) -> None:
    done = batchgate(tmp_path, "retry", parent, "--name", "again", gateway=gateway)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"msgbatch_\w+\n", done.stdout)
    shown = batchgate(tmp_path, "show", done.stdout.strip(), gateway=gateway).stdout
    assert f"\nName      again\nRetries   {parent}\n" in shown


def test_a_retry_may_have_a_budget_and_a_webhook_of_its_own_or_none(
    tmp_path: Path, gateway: GatewayProcess, parent: str
) -> None:
    faults = {
        ("--budget", "2.5"): (1, "budget_usd: account 'simulator' has no price"),
        ("--webhook", "https://example.com/"): (1, "webhook_url: the workspace has no webhook without a URL"),
        ("--budget", "nan"): (2, "an amount of US dollars such as 12.50, or none"),
    }
    for options, (status, message) in faults.items():
        refused = batchgate(tmp_path, "retry", parent, *options, gateway=gateway)
        assert (refused.returncode, message in refused.stderr) == (status, True), refused.stderr
    done = batchgate(tmp_path, "retry", parent, "--budget", "none", "--webhook", "none", gateway=gateway)
    assert done.returncode == 0, done.stderr


def test_a_retry_with_wait_reports_as_a_submit_does(tmp_path: Path, gateway: GatewayProcess, parent: str) -> None:
    done = batchgate(tmp_path, "retry", parent, "--only", "errored", "--wait", gateway=gateway)
    assert done.returncode == 3
    assert "0 of 1 requests succeeded, 1 did not (1 invalid_request_error)" in done.stderr


def test_a_named_request_is_retried_and_its_result_is_written(
    tmp_path: Path, gateway: GatewayProcess, parent: str
) -> None:
    options = ("--custom-id", "good", "--model", "other", "--wait", "--output", "-")
    done = batchgate(tmp_path, "retry", parent, *options, gateway=gateway)
    assert done.returncode == 0, done.stderr
    assert answers_by_custom_id(done.stdout) == {"good": "You said: I am good"}
    assert json.loads(done.stdout)["result"]["message"]["model"] == "other"


def test_a_submission_takes_over_the_results_of_an_earlier_batch(
    tmp_path: Path, gateway: GatewayProcess, parent: str
) -> None:
    body = json.dumps({"requests": [message_request("good"), message_request("new")]})
    options = ("--reuse", parent, "--wait", "--output", "out.jsonl")
    done = batchgate(tmp_path, "submit", "-", *options, gateway=gateway, stdin=body)
    assert (done.returncode, "All 2 requests succeeded, 1 reused, " in done.stderr) == (0, True), done.stderr
    found = answers_by_custom_id((tmp_path / "out.jsonl").read_text())
    assert found == {"good": "You said: I am good", "new": "You said: I am new"}
    shown = batchgate(tmp_path, "show", done.stdout.strip(), gateway=gateway).stdout
    assert f"\nReuses    {parent}, 1/2 results\n" in shown
    refused = batchgate(tmp_path, "submit", "-", "--reuse", parent, "--dry-run", gateway=gateway, stdin=body)
    assert (refused.returncode, "leave out --reuse" in refused.stderr) == (2, True)


def test_a_retry_of_nothing_says_why(tmp_path: Path, gateway: GatewayProcess, parent: str) -> None:
    done = batchgate(tmp_path, "retry", parent, "--only", "expired", gateway=gateway)
    assert (done.returncode, done.stdout) == (1, "")
    expected = f"Error: Batch '{parent}' has nothing to retry: none of its requests ended as expired."
    assert done.stderr.startswith(expected)
    assert batchgate(tmp_path, "retry", parent, "--output", "x", gateway=gateway).returncode == 2


def test_results_of_a_batch_and_its_retries_are_downloaded_together(
    tmp_path: Path, gateway: GatewayProcess, parent: str
) -> None:
    done = batchgate(tmp_path, "retry", parent, "--custom-id", "good", "--model", "newest", "--wait", gateway=gateway)
    assert done.returncode == 0, done.stderr
    merged = batchgate(tmp_path, "results", parent, "--merged", gateway=gateway).stdout
    good, bad = (json.loads(line) for line in merged.splitlines())
    assert (good["custom_id"], good["result"]["message"]["model"]) == ("good", "newest")
    assert (bad["custom_id"], bad["result"]["type"]) == ("bad", "errored")
    failed = batchgate(tmp_path, "results", parent, "--merged", "--failed", gateway=gateway).stdout
    assert [json.loads(line)["custom_id"] for line in failed.splitlines()] == ["bad"]
