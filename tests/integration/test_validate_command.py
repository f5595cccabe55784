"""The command that checks a file before it is submitted: real processes against a real gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import batchgate, message_request
from tests.support.gateway_process import SIMULATOR, GatewayProcess

LINES = "\n".join(
    (
        json.dumps(message_request("a")),
        "",
        "{no json",
        json.dumps(message_request("a")),
        json.dumps(message_request("b") | {"extra": 1}),
        json.dumps(message_request("c")),
        "[]",
    )
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=SIMULATOR) as process:
        yield process


def test_each_bad_line_is_printed_with_its_number_and_the_others_are_estimated(
    tmp_path: Path, gateway: GatewayProcess
) -> None:
    done = batchgate(tmp_path, "validate", "-", gateway=gateway, stdin=LINES)
    assert done.returncode == 3
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["line 3", "invalid_json_line"],
        ["line 4 a", "duplicate_custom_id"],
        ["line 5 b", "unknown_parameter"],
        ["line 7", "invalid_json_line"],
    ]
    assert done.stdout.startswith("Requests    6, 4 errors\nModel       ")
    assert "2 requests" in done.stdout
    dry = batchgate(tmp_path, "submit", "-", "--dry-run", gateway=gateway, stdin=LINES)
    assert (dry.returncode, dry.stdout, dry.stderr) == (3, done.stdout, done.stderr)
    assert batchgate(tmp_path, "list", gateway=gateway).stdout.count("msgbatch") == 0


def test_a_good_file_of_either_form_has_an_estimate(tmp_path: Path, gateway: GatewayProcess) -> None:
    document = json.dumps({"requests": [message_request("a")]})
    chat = json.dumps(
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": message_request("a")["params"]}
    )
    for text in (document, chat):
        done = batchgate(tmp_path, "validate", "-", "--json", "--lane", "native", gateway=gateway, stdin=text)
        assert (done.returncode, done.stderr) == (0, "")
        estimate = json.loads(done.stdout)
        assert (estimate["requests"], estimate["errors"]) == (1, [])
        assert [part["lane"] for part in estimate["lanes"]] == ["none"]
    broken = batchgate(tmp_path, "validate", "-", "--json", gateway=gateway, stdin="{no json\n{")
    assert broken.returncode == 3
    assert [error["line"] for error in json.loads(broken.stdout)["errors"]] == [1, 2]


def test_what_cannot_be_validated_is_an_error(tmp_path: Path, gateway: GatewayProcess) -> None:
    done = batchgate(tmp_path, "validate", "-", "--account", "nobody", gateway=gateway, stdin=LINES)
    assert (done.returncode, "nobody" in done.stderr, done.stdout) == (1, True, "")
    assert batchgate(tmp_path, "validate", "-", gateway=gateway, stdin="").returncode == 1
    assert batchgate(tmp_path, "submit", "-", "--dry-run", "--wait", gateway=gateway, stdin=LINES).returncode == 2
