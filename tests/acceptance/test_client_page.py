"""The examples on the page of the clients run as they stand there."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import batchgate_streams
from batchgate_streams import errors
from tests.acceptance.conftest import API_KEY
from tests.support.gateway_process import GatewayProcess

PAGE = (Path(__file__).parents[2] / "handwritten" / "docs" / "client.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
REQUEST = {"model": "simulated", "messages": [{"role": "user", "content": "Hello"}]}
LINE = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": REQUEST}) + "\n"


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs(gateway: GatewayProcess, tmp_path: Path, example: str) -> None:
    (tmp_path / "requests.jsonl").write_text(LINE)
    script = example.replace("http://127.0.0.1:8080", gateway.url).replace('"any"', repr(API_KEY))
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout in ("", "completed 1 of 1\na 200\n")
    if "copy.jsonl" in example:
        assert (tmp_path / "copy.jsonl").read_text() == LINE


def test_an_example_says_what_the_gateway_has_refused(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(LINE)
    script = EXAMPLES[1].replace("http://127.0.0.1:8080", gateway.url).replace('"any"', repr(API_KEY))
    ran = subprocess.run(
        [sys.executable, "-c", script.replace('"anthropic"', '"openai"')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("The batch was not created: ")
    assert "provider: 'openai' is not configured; configured: anthropic" in ran.stderr


def test_every_function_and_error_is_on_the_page() -> None:
    assert len(EXAMPLES) == 3
    functions = {name for name in batchgate_streams.__all__ if inspect.isfunction(getattr(batchgate_streams, name))}
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert functions - {"on_terminal", "progress_line"} <= named
    assert kinds <= named
