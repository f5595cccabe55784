"""``batchgate submit`` takes files of every dialect, and ``results`` writes those of every dialect as tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import batchgate, message_request
from tests.support.gateway_process import SIMULATOR, GatewayProcess

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=SIMULATOR) as process:
        yield process


def openai_request(name: str, **more: object) -> dict[str, Any]:
    return {"custom_id": name, "body": message_request(name)["params"]} | more


def lines(*requests: dict[str, Any]) -> str:
    return "".join(json.dumps(request) + "\n" for request in requests)


FILES = {
    "messages": lines(message_request("a"), message_request("b", messages=5)),
    "openai": lines(
        openai_request("a", method="POST", url=CHAT),
        {"custom_id": "b", "method": "POST", "url": CHAT, "body": {"model": "nobody/m", "messages": []}},
    ),
    "unified": lines(openai_request("a"), {"custom_id": "b", "body": {"model": "nobody/m", "messages": []}}),
    "document": json.dumps(
        {"requests": [openai_request("a"), {"custom_id": "b", "body": {"model": "nobody/m", "messages": []}}]}
    ),
}


@pytest.mark.parametrize("dialect", FILES)
def test_a_file_of_any_dialect_is_submitted_and_its_results_are_a_table(
    tmp_path: Path, gateway: GatewayProcess, dialect: str
) -> None:
    (tmp_path / "in.jsonl").write_text(FILES[dialect])
    words = ("submit", "in.jsonl", "--wait", "--json", "--name", dialect, "--metadata", f"kind={dialect}")
    done = batchgate(tmp_path, *words, gateway=gateway)
    assert done.returncode == 3, done.stderr
    batch_id = json.loads(done.stdout)["id"]
    found = batchgate(tmp_path, "list", "--metadata", f"kind={dialect}", "--json", gateway=gateway)
    assert [json.loads(line)["name"] for line in found.stdout.splitlines()] == [dialect]
    shown = batchgate(tmp_path, "results", batch_id, "--format", "csv", gateway=gateway)
    good, bad = csv.DictReader(shown.stdout.splitlines())
    assert (good["custom_id"], good["answer"], good["error"]) == ("a", "You said: I am a", "")
    assert (bad["custom_id"], bad["answer"], bad["error"] != "") == ("b", "", True)
    failed = batchgate(tmp_path, "results", batch_id, "--failed", "--format", "jsonl", gateway=gateway)
    assert [json.loads(line)["custom_id"] for line in failed.stdout.splitlines()] == ["b"]
    if dialect != "document":
        joined = batchgate(tmp_path, "results", batch_id, "--join", "in.jsonl", gateway=gateway)
        assert joined.returncode == 0, joined.stderr
        rows = [json.loads(line) for line in joined.stdout.splitlines()]
        assert [(row["custom_id"], row["answer"]) for row in rows] == [("a", "You said: I am a"), ("b", None)]
        only = batchgate(tmp_path, "results", batch_id, "--join", "in.jsonl", "--failed", gateway=gateway)
        assert [json.loads(line)["custom_id"] for line in only.stdout.splitlines()] == ["b"]


def test_partial_results_of_a_running_batch_are_joined_to_the_rows_that_have_some(tmp_path: Path) -> None:
    settings = f"shutdown_timeout = 0\n{SIMULATOR}simulator.latency = 60\n"
    (tmp_path / "in.csv").write_text("custom_id,note\na,x\nb,y\n")
    requests = lines(message_request("a", model="nobody/m"), message_request("b"))
    with GatewayProcess(data_dir=tmp_path / "data", settings=settings) as gateway:
        batch_id = batchgate(tmp_path, "submit", "-", gateway=gateway, stdin=requests).stdout.strip()
        words = ("results", batch_id, "--partial", "--join", "in.csv")
        rows: list[dict[str, str]] = []
        while not any(row["error"] for row in rows):
            rows = [*csv.DictReader(batchgate(tmp_path, *words, gateway=gateway).stdout.splitlines())]
            assert [(row["custom_id"], row["note"]) for row in rows] == [("a", "x"), ("b", "y")]
        assert rows[1]["error"] == ""
        both = batchgate(tmp_path, "results", batch_id, "--partial", "--merged", gateway=gateway)
        gateway.kill()
    assert both.returncode == 2


def test_an_idempotency_key_creates_a_batch_once(tmp_path: Path, gateway: GatewayProcess) -> None:
    for content in (FILES["messages"], FILES["openai"]):
        (tmp_path / "in.jsonl").write_text(content)
        words = ("submit", "in.jsonl", "--idempotency-key", f"key-{len(content)}")
        first, second = (batchgate(tmp_path, *words, gateway=gateway).stdout for _ in range(2))
        assert first == second != ""


def test_the_first_requests_are_tried_shown_and_reused(tmp_path: Path, gateway: GatewayProcess) -> None:
    (tmp_path / "in.jsonl").write_text(lines(message_request("a"), message_request("b"), message_request("c")))
    done = batchgate(tmp_path, "submit", "in.jsonl", "--try", "2", gateway=gateway)
    assert (done.returncode, done.stdout) == (0, "")
    assert "a> I am a\nYou said: I am a" in done.stderr
    assert "c>" not in done.stderr
    done = batchgate(tmp_path, "submit", "in.jsonl", "--try", "2", "--yes", "--wait", gateway=gateway)
    assert (done.returncode, "2 reused" in done.stderr) == (0, True), done.stderr
    piped = batchgate(tmp_path, "submit", "-", "--try", "1", gateway=gateway, stdin=FILES["messages"])
    assert (piped.returncode, "name a file" in piped.stderr) == (1, True)
    assert batchgate(tmp_path, "submit", "in.jsonl", "--try", "1", "--reuse", "x", gateway=gateway).returncode == 2


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", "name,text\na,b\n", "batchgate run t.csv --prompt"),
        ("t.txt", "name;text\na;b\n", "batchgate run FILE.csv --prompt"),
        ("t.jsonl", '{"prompt": "x"}\n', "it has the fields prompt, and a request has custom_id with params"),
        ("t.jsonl", '{"custom_id": "a"}\n', "params"),
        ("t.jsonl", '[{"custom_id": "a"}]\n', "begin with"),
        ("t.jsonl", "", "the file is empty: a request is a line such as"),
    ],
)
def test_a_file_that_holds_no_requests_says_what_to_do(
    tmp_path: Path, gateway: GatewayProcess, name: str, content: str, expected: str
) -> None:
    (tmp_path / name).write_text(content)
    for command in ("submit", "validate"):
        done = batchgate(tmp_path, command, name, gateway=gateway)
        assert done.returncode != 0
        assert expected in done.stderr, done.stderr
