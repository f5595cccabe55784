"""A real Chromium without a browser of the machine: the binary of an npm package, driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.sdk_languages.toolchains import Tool

FOLDER: Final = Path(__file__).parent
SCREENSHOTS: Final = FOLDER / "screenshots"
"""What the pages looked like in the last run; CI keeps it."""
TOOLS: Final = (
    Tool(version_command=("node", "--version"), minimum=(20,)),
    Tool(version_command=("npm", "--version"), minimum=(9,)),
)
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--headless=shell",
    "--disable-background-networking",
    "--no-zygote",
)
INSTALL_TIMEOUT: Final = 300.0
"""Seconds; the package has 60 MB."""


def problems() -> list[str]:
    """List the tools that the machine lacks."""
    return [problem for tool in TOOLS if (problem := tool.problem()) is not None]


def unpack_chromium(folder: Path) -> tuple[Path, dict[str, str]]:
    """Fetch the package and unpack Chromium; return its path and the environment that it needs."""
    for name in ("package.json", "package-lock.json", "chromium.mjs"):
        shutil.copy(FOLDER / name, folder)
    _run(("npm", "ci", "--no-audit", "--no-fund"), folder, os.environ.copy())
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    # The package adds its own libraries only where it takes the machine for one of AWS.
    environment = os.environ | {"TMPDIR": str(unpacked), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}
    found = json.loads(_run(("node", "chromium.mjs"), folder, environment))
    libraries = ":".join(part for part in (found["libraries"], os.environ.get("LD_LIBRARY_PATH")) if part)
    return Path(found["path"]), os.environ | {"LD_LIBRARY_PATH": libraries}


def _run(command: tuple[str, ...], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout
