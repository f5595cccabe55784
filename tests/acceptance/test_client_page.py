"""The examples on the documentation page of the clients run unchanged."""

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
ROWS = "1 You said: Summarise: I love it. None\n2 You said: Summarise: I hate it. None\n"


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_on_the_page_runs(gateway: GatewayProcess, tmp_path: Path, example: str) -> None:
    (tmp_path / "requests.jsonl").write_text(LINE)
    script = example.replace("http://127.0.0.1:8080", gateway.url).replace('"any"', repr(API_KEY))
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout in ("", "completed 1 of 1\na 200\n", "1 of 1\n", ROWS)
    if "copy.jsonl" in example:
        assert (tmp_path / "copy.jsonl").read_text() == LINE


def test_an_example_prints_why_the_gateway_refused_the_batch(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(LINE)
    script = EXAMPLES[2].replace("http://127.0.0.1:8080", gateway.url).replace('"any"', repr(API_KEY))
    finished = subprocess.run(
        [sys.executable, "-c", script.replace('"anthropic"', '"openai"')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith("The batch was not created: ")
    assert "provider: 'openai' is not configured; configured: anthropic" in finished.stderr


def test_the_page_names_every_function_and_error() -> None:
    assert len(EXAMPLES) == 5
    functions = {name for name in batchgate_streams.__all__ if inspect.isfunction(getattr(batchgate_streams, name))}
    error_classes = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    names_on_page = set(re.findall(r"`(\w+)`", PAGE))
    assert functions - {"failure_lines", "on_terminal", "progress_line"} <= names_on_page
    assert error_classes <= names_on_page
