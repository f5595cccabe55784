"""Runs the ``batchgate`` command in processes of its own, as a user does, with input and output for tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.gateway_process import SIMULATOR, GatewayProcess, clean_environment

PROGRAM: Final = (sys.executable, "-m", "batchgate")
WITH_DEFAULT_SIGINT: Final = ("env", "--default-signal=INT")
"""Runs a program that SIGINT ends, even if the test run ignores SIGINT, as in the background of a shell."""
SLOW_SETTINGS: Final = f"shutdown_timeout = 0\n{SIMULATOR}simulator.latency = 60\n"
"""Settings of a gateway whose batches do not end, but which stops at once."""


def batchgate(
    folder: Path, *words: str, gateway: GatewayProcess | None = None, stdin: str = "", key: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for its end."""
    return subprocess.run(
        [*PROGRAM, *words],
        input=stdin,
        env=command_environment(gateway, key),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running_command(
    folder: Path, *words: str, gateway: GatewayProcess | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a command, and kill it when the context is left."""
    with subprocess.Popen(
        [*WITH_DEFAULT_SIGINT, *PROGRAM, *words],
        env=command_environment(gateway),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def command_environment(gateway: GatewayProcess | None, key: str | None = None) -> dict[str, str]:
    """Make the environment of a command, with the URL of the gateway and an API key."""
    variables: dict[str, str] = {}
    if gateway is not None:
        variables["BATCHGATE_URL"] = gateway.url
    if key is not None:
        variables["BATCHGATE_API_KEY"] = key
    return clean_environment(variables)


def message_request(name: str, **changed: object) -> dict[str, object]:
    """Make one Messages request; ``changed`` replaces params."""
    params = {"model": "m", "max_tokens": 20, "messages": [{"role": "user", "content": f"I am {name}"}]}
    return {"custom_id": name, "params": params | changed}


def jsonl(*names: str) -> str:
    """Write JSONL with one request for each name."""
    return "".join(json.dumps(message_request(name)) + "\n" for name in names)


def submit_batch(folder: Path, gateway: GatewayProcess, *names: str) -> str:
    """Submit a batch and return its id."""
    completed = batchgate(folder, "submit", "-", gateway=gateway, stdin=jsonl(*names))
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.strip()


def run_batch(folder: Path, gateway: GatewayProcess, *names: str) -> str:
    """Submit a batch, wait for its end and return its id."""
    completed = batchgate(folder, "submit", "-", "--wait", gateway=gateway, stdin=jsonl(*names))
    assert completed.returncode == 0, completed.stderr
    return completed.stderr.splitlines()[0]


def answers_by_custom_id(results: str) -> dict[str, str]:
    """Map the custom_ids of results to the texts of their messages, or to the types of other results."""
    found: dict[str, str] = {}
    for line in results.splitlines():
        result = json.loads(line)["result"]
        succeeded = result["type"] == "succeeded"
        found[json.loads(line)["custom_id"]] = result["message"]["content"][0]["text"] if succeeded else result["type"]
    return found
