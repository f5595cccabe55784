"""The toolchains of the SDKs in other languages: whether the machine has them, and how they build and run programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

SOURCES: Final = Path(__file__).parent
BUILD_TIMEOUT: Final = 1200.0
"""Seconds; with cold caches the SDKs are downloaded and compiled."""
RUN_TIMEOUT: Final = 120.0
"""Seconds; a program takes a few."""
Command: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program that a build needs, found on PATH."""

    version_command: Command
    minimum: tuple[int, ...]

    def problem(self) -> str | None:
        """Say what is wrong: the program is not found, or too old."""
        name = self.version_command[0]
        wanted = f"{name} {'.'.join(map(str, self.minimum))} or later"
        if shutil.which(name) is None:
            return f"{wanted} is not found"
        done = subprocess.run(self.version_command, capture_output=True, text=True, timeout=60, check=False)
        found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
        if done.returncode != 0 or found is None:
            return f"{wanted} is not found: {' '.join(self.version_command)} printed {done.stderr.strip()!r}"
        if tuple(map(int, found[0].split("."))) < self.minimum:
            return f"{wanted} is not found, only {found[0]}"
        return None


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """How the programs of one language are built and run, in a copy of its folder."""

    language: str
    """The name of the folder, too."""
    tools: tuple[Tool, ...]
    build_commands: tuple[Command, ...]
    programs: Mapping[str, Command]
    """The command of each SDK's program."""

    def problems(self) -> list[str]:
        """List the tools that the machine lacks."""
        return [problem for tool in self.tools if (problem := tool.problem()) is not None]

    def build(self, folder: Path) -> Path:
        """Copy the programs to the folder, fetch the SDKs and compile; fails with the output of a failed command."""
        shutil.copytree(SOURCES / self.language, folder, ignore=shutil.ignore_patterns("node_modules", "build"))
        for command in self.build_commands:
            _run(command, folder, os.environ, BUILD_TIMEOUT)
        return folder

    def run(self, sdk: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
        """Run the program of an SDK and return the lines that it printed."""
        return _run(self.programs[sdk], folder, environment, RUN_TIMEOUT).splitlines()


def _run(command: Command, folder: Path, environment: Mapping[str, str], timeout: float) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _java(name: str) -> Command:
    """Make the command that compiles and runs a program of one file; the options make short runs twice as fast."""
    return "sh", "-c", f'exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$(cat classpath)" {name}.java'


TOOLCHAINS: Final = (
    Toolchain(
        language="typescript",
        tools=(
            Tool(version_command=("node", "--version"), minimum=(20,)),
            Tool(version_command=("npm", "--version"), minimum=(9,)),
        ),
        build_commands=(("npm", "ci", "--no-audit", "--no-fund"), ("npx", "--no-install", "tsc")),
        programs={
            "anthropic": ("node", "build/anthropic_batches.js"),
            "openai": ("node", "build/openai_batches.js"),
        },
    ),
    Toolchain(
        language="java",
        tools=(
            Tool(version_command=("java", "-version"), minimum=(17,)),
            Tool(version_command=("mvn", "-version"), minimum=(3, 6)),
        ),
        build_commands=(("mvn", "--quiet", "--batch-mode", "--strict-checksums", "exec:exec"),),
        programs={"anthropic": _java("AnthropicBatches"), "openai": _java("OpenAIBatches")},
    ),
    Toolchain(
        language="go",
        tools=(Tool(version_command=("go", "version"), minimum=(1, 26)),),
        # Without optimization and debug information, the large packages of the SDKs compile in two thirds of the time.
        build_commands=(("go", "build", "-gcflags=all=-N -l -dwarf=false", "-o", "build/", "./..."),),
        programs={"anthropic": ("build/anthropic_batches",), "openai": ("build/openai_batches",)},
    ),
)
