"""The commands and scripts of the manual run as they stand there: quick start, retry of failures, notebooks."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway_process import GatewayProcess, clean_environment

DOCS = Path(__file__).parents[2] / "handwritten" / "docs"
TRIAL = '[accounts.trial]\nprovider = "simulator"\nsimulator.latency = 0.05\n'


class Shell:
    """A shell in which ``batchgate`` is the command under test and reaches one gateway."""

    def __init__(self, folder: Path, gateway: GatewayProcess) -> None:
        self.folder = folder / "batchgate-trial"
        self.folder.mkdir()
        commands = folder / "bin"
        commands.mkdir()
        for name, module in (("batchgate", " -m batchgate.cli"), ("python3", "")):
            (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable}{module} "$@"\n')
            (commands / name).chmod(0o755)
        kept = clean_environment({"BATCHGATE_URL": gateway.url, "HOME": str(folder)})
        self._environment = kept | {"PATH": f"{commands}:{kept['PATH']}"}

    def run(self, script: str, *, status: int = 0) -> str:
        """Run a script, which must end with this exit status, and return what it prints on both streams."""
        finished = subprocess.run(
            ["sh", "-euc", script],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == status, finished.stderr
        return finished.stdout + finished.stderr


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[GatewayProcess]:
    """Run the gateway of the quick start."""
    with GatewayProcess(data_dir=tmp_path / "data", settings=TRIAL) as gateway:
        yield gateway


@pytest.fixture
def shell(tmp_path: Path, trial: GatewayProcess) -> Shell:
    return Shell(tmp_path, trial)


def test_the_quick_start_leads_to_results(shell: Shell) -> None:
    _, settings, submit, head, texts, listing = blocks("quick-start.md", "sh")
    assert TRIAL.splitlines()[:2] == settings.splitlines()[2:4]
    assert re.search(r"All 50 requests succeeded, [\d.]+ s\. Results: messages\.results\.jsonl", shell.run(submit))
    assert shell.run(head).startswith('{"custom_id":"sum-1",')
    assert shell.run(texts).endswith("sum-50 You said: What is 50 plus 1?\n")
    assert "Requests  50: 50 succeeded" in shell.run(listing)


def test_failed_requests_are_found_retried_and_corrected_as_the_page_says(shell: Shell) -> None:
    writing, _, _ = blocks("quick-start.md", "sh")[2].partition("batchgate submit")
    shell.run(writing)
    lines = (shell.folder / "messages.jsonl").read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace('"max_tokens": 100', '"max_tokens": 0')
    (shell.folder / "messages.jsonl").write_text("".join(lines))
    why, retry, merge, _, write, submit, reuse = blocks("how-to/retry-failed.md", "sh")
    batch_id = shell.run("batchgate submit messages.jsonl --wait", status=3).split()[0]
    why, retry, merge, write = (re.sub(r"msgbatch_\w+", batch_id, each) for each in (why, retry, merge, write))
    message = "max_tokens: <n> only warms the cache and returns no answer; it should be at lea…"
    row = f"1  invalid_request_error  {message}  sum-3"
    assert re.sub(r"  +", "  ", shell.run(why)).endswith(f"{row}\n")
    shell.run(retry, status=3)
    shell.run(merge)
    assert len((shell.folder / "all.jsonl").read_text().splitlines()) == len(lines)
    assert shell.run(write) == "1 requests in retry.jsonl\n"
    assert (shell.folder / "retry.jsonl").read_text() == lines[2]
    shell.run(submit, status=3)
    reported = shell.run(re.sub(r"msgbatch_\w+", batch_id, reuse), status=3)
    assert f"{len(lines) - 1} reused" in reported


def test_the_cells_for_notebooks_run(shell: Shell, trial: GatewayProcess) -> None:
    create, progress, results = blocks("how-to/notebooks.md", "python")
    waiting = "import time\nwhile progress(batch.id)['status'] != 'ended': time.sleep(0.1)\n"
    script = f"{create}\n{progress}\n{waiting}\n{results}\nprint(len(rows), rows[0]['result']['type'])\n"
    (shell.folder / "cells.py").write_text(script.replace("http://127.0.0.1:8080", trial.url))
    assert shell.run("python3 cells.py") == "2 succeeded\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_job_for_ci_ends_well(shell: Shell, trial: GatewayProcess) -> None:
    port = trial.url.rpartition(":")[2]
    script = blocks("how-to/ci.md", "sh")[0].replace("8080", port)
    served = re.sub(r"^batchgate serve.*$", "gateway=", script, flags=re.MULTILINE).replace("kill $gateway", "")
    assert re.search(r"The request succeeded, [\d.]+ s\. Results: results\.jsonl", shell.run(served))
