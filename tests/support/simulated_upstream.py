"""A simulated provider in a process of its own, which counts the requests that it receives."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from batchgate.providers.simulator.server import SimulatorStats
from tests.support.gateway_process import clean_environment


@dataclass(frozen=True)
class SimulatedUpstream:
    """A running simulated provider and its statistics."""

    url: str
    pid: int

    def stats(self) -> SimulatorStats:
        """Read the statistics of the requests so far."""
        with urllib.request.urlopen(f"{self.url}/stats") as response:
            return msgspec.json.decode(response.read(), type=SimulatorStats)

    def reset(self) -> None:
        """Reset the statistics."""
        self._send("POST", "/stats/reset", b"")

    def configure(self, **settings: object) -> None:
        """Replace the settings of the simulator."""
        self._send("PUT", "/settings", json.dumps(settings).encode())

    def _send(self, method: str, path: str, body: bytes) -> None:
        request = urllib.request.Request(self.url + path, data=body, method=method)
        with urllib.request.urlopen(request):
            pass


@contextmanager
def simulated_upstream(*options: str) -> Iterator[SimulatedUpstream]:
    """Run ``batchgate simulate`` with some options on a free port until the context is left."""
    command = [sys.executable, "-m", "batchgate", "simulate", "--port", "0", *options]
    process = subprocess.Popen(
        command, bufsize=0, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        found = re.search(r"http://\S+", line)
        assert found, f"batchgate simulate printed {line!r}"
        yield SimulatedUpstream(found[0].rstrip("/"), process.pid)
    finally:
        process.kill()
        process.communicate()
