"""Runs the generators and the formatter, in temporary folders so that no outside configuration applies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class ToolError(Exception):
    """A generator failed or warned; the message is what it printed."""


def run_tool(module: str, *arguments: str, cwd: Path) -> None:
    """Run ``python -m module`` in ``cwd``; raises `ToolError` with its output unless it exits with 0."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "NO_COLOR": "1"}
    finished = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise ToolError(f"{module} exited with {finished.returncode}:\n{finished.stdout}")


def format_python(folder: Path) -> None:
    """Sort imports, remove unused ones and format every Python file in ``folder``, without outside configuration."""
    run_tool("ruff", "check", "--isolated", "--no-cache", "--quiet", "--select=I,F401", "--fix-only", ".", cwd=folder)
    run_tool("ruff", "format", "--isolated", "--no-cache", "--quiet", "--line-length=100", ".", cwd=folder)
