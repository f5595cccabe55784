"""``batchgate run``: a table in, the table with answers out, and the same command again pays for nothing twice."""

from __future__ import annotations

import csv
import json
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.command import batchgate, running_command
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

ASK = ("--prompt", "Say {text}", "--model", "chat/m")
ROWS = 300


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.02") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(upstream: SimulatedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    settings = f"""
    [accounts.chat]
    provider = "openai"
    base_url = "{upstream.url}/openai/v1"
    api_key = "any"
    lane = "direct"
    concurrency = 4
    prices = {{"*" = {{input = 1, output = 5}}}}
    [accounts.other]
    provider = "vllm"
    base_url = "{upstream.url}/openai/v1"
    """
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=settings) as process:
        yield process


@pytest.fixture
def run(tmp_path: Path, gateway: GatewayProcess, upstream: SimulatedUpstream) -> Callable[..., tuple[int, str, str]]:
    """Run ``batchgate run`` with an empty stdin; returns the exit status, stdout and stderr."""
    upstream.reset()

    def run(*words: str) -> tuple[int, str, str]:
        done = batchgate(tmp_path, "run", *words, gateway=gateway)
        return done.returncode, done.stdout, done.stderr

    return run


Run = Callable[..., tuple[int, str, str]]


def table(folder: Path, texts: Sequence[str], name: str = "t.csv") -> None:
    """Write a table with a number and a text in each row."""
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows([["n", "text"], *enumerate(texts)])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_row_gets_its_answer_and_the_same_command_calls_nobody_again(
    tmp_path: Path, run: Run, upstream: SimulatedUpstream
) -> None:
    texts = ["a, b", 'the "second"\nline', "ü", "a, b"]
    table(tmp_path, texts)
    status, out, err = run("t.csv", *ASK, "--system", "Row {n}", "--max-tokens", "20", "--param", "seed=7")
    assert status == 0, err
    written = rows(tmp_path / "t.answers.csv")
    assert [row["text"] for row in written] == texts
    assert [row["answer"] for row in written] == [f"You said: Say {text}" for text in texts]
    assert all(row["error"] == "" and row["finish_reason"] == "stop" and int(row["output_tokens"]) for row in written)
    assert "All 4 requests succeeded" in err
    assert err.rstrip().endswith("Answers: t.answers.csv")
    (tmp_path / "t.answers.csv").unlink()
    again = run("t.csv", *ASK, "--system", "Row {n}", "--max-tokens", "20", "--param", "seed=7")
    assert (again[0], again[1]) == (0, out)
    assert rows(tmp_path / "t.answers.csv") == written
    assert upstream.stats().calls == 4
    other = run("t.csv", *ASK, "--system", "Row {n}", "--param", "seed=7", "--name", "again", "--json")
    ended = json.loads(other[1])
    assert (ended["total"], ended["succeeded"], ended["answers"]) == (4, 4, "t.answers.csv")
    costs = [float(row["cost_usd"]) for row in rows(tmp_path / "t.answers.csv")]
    assert ended["cost_usd"] == pytest.approx(sum(costs))
    assert all(cost > 0 for cost in costs)
    assert ended["seconds"] > 0
    assert ended["batches"] != out.split()
    assert upstream.stats().calls == 8
    refused = run("t.csv", *ASK[:2], "--model", "chat/m", "--id", "nothing", "--json")
    assert (refused[0], refused[1]) == (1, "")
    assert "there is no column 'nothing'" in json.loads(refused[2])["error"]["message"]


@pytest.mark.parametrize("moment", ["while it is sent", "after its creation"])
def test_a_command_that_was_killed_goes_on_without_a_second_call(
    tmp_path: Path, gateway: GatewayProcess, upstream: SimulatedUpstream, run: Run, moment: str
) -> None:
    texts = [f"{moment} {number}" for number in range(ROWS)]
    table(tmp_path, texts)
    with running_command(tmp_path, "run", "t.csv", *ASK, gateway=gateway) as process:
        if moment == "after its creation":
            assert process.stdout is not None
            assert process.stdout.readline().startswith("batch_")
        process.send_signal(signal.SIGKILL)
    status, _, err = run("t.csv", *ASK)
    assert status == 0, err
    assert [row["answer"] for row in rows(tmp_path / "t.answers.csv")] == [f"You said: Say {text}" for text in texts]
    stats = upstream.stats()
    assert (stats.calls, stats.distinct_bodies) == (ROWS, ROWS)
    assert not list(tmp_path.glob(".*"))


def test_what_was_tried_first_is_shown_and_not_paid_for_again(
    tmp_path: Path, run: Run, upstream: SimulatedUpstream
) -> None:
    table(tmp_path, ["try one", "try two", "try three"])
    status, out, err = run("t.csv", *ASK, "--try", "2")
    assert (status, out) == (0, "")
    assert "1> Say try one\nYou said: Say try one" in err
    assert "3 requests like them cost about $0." in err
    assert "without a terminal, --yes runs the others" in err
    assert not (tmp_path / "t.answers.csv").exists()
    assert upstream.stats().calls == 2
    status, out, err = run("t.csv", *ASK, "--try", "2", "--yes", "--out", "-")
    assert (status, "2 reused" in err) == (0, True)
    assert out.splitlines()[0] == "n,text,answer,error,finish_reason,input_tokens,output_tokens,cost_usd"
    assert len(out.splitlines()) == 4
    assert upstream.stats().calls == 3


def test_rows_that_fail_have_their_error_and_the_command_that_retries_them(tmp_path: Path, run: Run) -> None:
    (tmp_path / "t.jsonl").write_text('{"key": "x", "text": "good"}\n{"key": "y", "text": "bad", "odd": [1]}\n')
    words = ("--id", "key", "--param", "messages=5", "--out", "out.jsonl")
    status, out, err = run("t.jsonl", *ASK, *words)
    assert status == 3
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["key"], line["answer"]) for line in lines] == [("x", None), ("y", None)]
    assert all("messages" in line["error"] for line in lines)
    assert lines[1]["odd"] == [1]
    assert f"To retry the others: batchgate retry {out.strip()} --wait" in err.replace(" --url", "\n")


def test_a_schema_makes_columns_of_the_answers(tmp_path: Path, run: Run) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object", "properties": {"city": {"type": "string"}}}')
    table(tmp_path, ["schema"])
    status, _, err = run("t.csv", *ASK, "--schema", "schema.json", "--prefix", "its_", "--out", "t.parquet")
    assert status == 0, err
    status, _, err = run("t.parquet", *ASK, "--out", "out.tsv")
    assert status == 0, err
    (row,) = csv.DictReader((tmp_path / "out.tsv").read_text().splitlines(), delimiter="\t")
    assert (row["text"], row["its_city"], row["answer"]) == ("schema", "", "You said: Say schema")
    assert row["its_error"].startswith("the answer is not a JSON object")


MISTAKES: list[tuple[str, Sequence[str], str]] = [
    ("n,text\n1,a\n2\n3,b,c\n", ASK, "line 3: .* line 4: .* 2 rows are invalid; nothing was sent."),
    ("n,text\n1,a\n", ("--prompt", "{txt}", "--model", "chat/m"), "no column 'txt'; perhaps 'text'"),
    ("n,text\n1,a\n", ("--prompt", "{text}", "--model", "nobody/m"), "'nobody' is not configured"),
    ("n,text,error\n1,a,\n", ASK, "a column 'error' already; name the new columns with --prefix"),
    ("k,text\n1,a\n2,b\n1,c\n", (*ASK, "--id", "k"), "line 4: the id '1' is there twice"),
    ("n,text\n1,a\n", (*ASK, "--out", "t.csv"), "is the input; name another file"),
    ("n,text\n1,a\n", (*ASK, "--out", "out.xls"), "its name must end with .csv"),
    ("n,text\n1,a\n", ("--model", "chat/m"), "--prompt is missing"),
]


def test_a_mistake_is_named_before_anything_is_sent(tmp_path: Path, run: Run, upstream: SimulatedUpstream) -> None:
    for content, words, expected in MISTAKES:
        (tmp_path / "t.csv").write_text(content)
        status, out, err = run("t.csv", *words)
        assert (status in {1, 2}, out) == (True, ""), words
        assert re.search(expected, " ".join(err.split())), err
    assert upstream.stats().calls == 0


def test_a_dry_run_estimates_and_sends_nothing(tmp_path: Path, run: Run, upstream: SimulatedUpstream) -> None:
    table(tmp_path, ["dry"] * 3)
    status, out, err = run("t.csv", *ASK, "--dry-run")
    assert (status, err) == (0, "")
    assert out.startswith("Requests    3, no errors\n")
    assert upstream.stats().calls == 0
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
