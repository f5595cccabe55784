"""The programs on the page about frameworks run as they stand there, and their calls travel in one batch each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.adapters.labelling_provider import labelling_provider
from tests.support.gateway_process import GatewayProcess, clean_environment

PAGE = Path(__file__).parents[2] / "handwritten" / "docs" / "how-to" / "frameworks.md"
PROGRAM = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PROGRAMS = dict(PROGRAM.findall(PAGE.read_text()))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with labelling_provider() as url:
        settings = f'[accounts.model]\nprovider = "vllm"\nbase_url = "{url}"\n'
        with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=settings) as process:
            yield process


def test_the_page_has_a_program_for_each_library() -> None:
    assert list(PROGRAMS) == ["OpenAI and Anthropic SDK", "LangChain", "pydantic-ai", "instructor", "DSPy"]


@pytest.mark.parametrize("library", PROGRAMS)
def test_the_calls_of_a_program_travel_in_one_batch(gateway: GatewayProcess, tmp_path: Path, library: str) -> None:
    script = PROGRAMS[library].replace("http://127.0.0.1:8080", gateway.url).replace('"reviews"', repr(library))
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DSPY_CACHEDIR": str(tmp_path), "HOME": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=clean_environment(offline),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "['positive', 'negative']"
    with urlopen(f"{gateway.url}/api/batches") as response:
        batches = [batch for batch in json.load(response)["data"] if batch["name"] == library]
    assert [(batch["total"], batch["succeeded"]) for batch in batches] == [(2, 2)]
