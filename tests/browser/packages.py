"""The npm packages of the tests: Chromium, axe, and what makes and checks types."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.sdk_languages.toolchains import Tool

FOLDER: Final = Path(__file__).parent
TOOLS: Final = (
    Tool(version_command=("node", "--version"), minimum=(20,)),
    Tool(version_command=("npm", "--version"), minimum=(9,)),
)
TIMEOUT: Final = 300.0
"""Seconds; the packages have 90 MB."""


def problems() -> list[str]:
    """List the tools that the machine lacks."""
    return [problem for tool in TOOLS if (problem := tool.problem()) is not None]


def install_packages(folder: Path) -> None:
    """Fetch the packages of the lock file into a folder."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOLDER / name, folder)
    done = run_command(("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"), folder)
    assert done.returncode == 0, f"npm ci exited with {done.returncode}:\n{done.stdout}{done.stderr}"


def run_command(
    command: tuple[str, ...], folder: Path, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, and return how it ended."""
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
