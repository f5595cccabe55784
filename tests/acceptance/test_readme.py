"""The examples of the README run unchanged and print the output that the README shows."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway_process import GatewayProcess, clean_environment

README = (Path(__file__).parents[2] / "README.md").read_text()
FIRST_BATCH = README.split("\n## Your first batch\n")[1].split("\n## ")[0]
SECTIONS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", FIRST_BATCH, re.DOTALL | re.MULTILINE))
BATCHGATE = f"{sys.executable} -m batchgate.cli"


def block(section: str, language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[section], re.DOTALL | re.MULTILINE)
    return str(code)


def run(command: list[str], folder: Path, gateway: GatewayProcess) -> str:
    environment = clean_environment({"BATCHGATE_URL": gateway.url})
    finished = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("section", ["With the Anthropic SDK", "With the OpenAI SDK"])
def test_an_example_in_python_prints_the_output_that_the_readme_shows(tmp_path: Path, section: str) -> None:
    with GatewayProcess(data_dir=tmp_path / "data") as gateway:
        script = block(section, "python").replace("http://127.0.0.1:8080", gateway.url)
        assert run([sys.executable, "-c", script], tmp_path, gateway) == block(section, "text")


@pytest.mark.parametrize(
    "section",
    [
        pytest.param("With curl", marks=pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")),
        "On the command line",
    ],
)
def test_an_example_in_the_shell_prints_the_results(tmp_path: Path, section: str) -> None:
    with GatewayProcess(data_dir=tmp_path / "data") as gateway:
        script = block(section, "sh").replace("http://127.0.0.1:8080", gateway.url)
        script = script.replace(".venv/bin/batchgate", BATCHGATE)
        printed = run(["sh", "-euc", script], tmp_path, gateway)
    assert '{"custom_id":"hello","result":{"type":"succeeded"' in printed
    assert "You said: Hello, who are you?" in printed


def test_the_example_with_a_csv_file_writes_the_table_that_the_readme_shows(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path / "data") as gateway:
        script = block("From a CSV file", "sh").replace(".venv/bin/batchgate", BATCHGATE)
        printed = run(["sh", "-euc", script], tmp_path, gateway)
    assert printed.split("\n", 1)[1] == block("From a CSV file", "text")


def test_code_to_paste_contains_no_prompt() -> None:
    assert not re.search(r"^(>>>|\$) ", README, re.MULTILINE)
    assert len(SECTIONS) == 5
