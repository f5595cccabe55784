"""A gateway in a process of its own, started by the real command, for tests that kill it or call it from outside."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Self

SIMULATOR: Final = '[accounts.simulator]\nprovider = "simulator"\n'
"""Settings with a simulated model; append ``simulator.latency = 1`` and the like to change its behaviour."""

_INHERITED_VARIABLES: Final = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")
_BANNER: Final = re.compile(
    r'(?:\{.*"message":")?Batchgate \S+ (?:runs batches(?:, )?)?(?:listens on (http://[^\s"]+))?'
)
"""The first line of the output, as text or JSON."""
_LOG_LINES_SHOWN: Final = 40


class GatewayFailed(Exception):
    """The process did not start or did not stop."""


class GatewayProcess:
    """A gateway that runs while the context is entered.

    ::

        with GatewayProcess(data_dir=tmp_path / "data") as gateway:
            client = Anthropic(base_url=f"{gateway.url}/anthropic", api_key="any")

    It listens on a free loopback port unless ``port`` is given. It inherits only the environment variables that a
    process needs, so that no real key is ever used; ``environment`` adds variables. For a restart, start a second one
    with the same ``data_dir``. An exception that passes through carries the end of the log as a note.
    ``max_open_files`` is its limit of open files, ``max_memory`` its limit of private memory in bytes.
    """

    module = "batchgate"
    """The module that is run."""
    command: tuple[str, ...] = ("serve",)
    folder: Path | None = None
    """The working directory; by default that of its settings."""

    def __init__(
        self,
        *,
        data_dir: Path,
        settings: str = SIMULATOR,
        environment: Mapping[str, str] | None = None,
        port: int | None = 0,
        options: tuple[str, ...] = (),
        max_open_files: int | None = None,
        max_memory: int | None = None,
        ready_within: float = 120.0,
        stops_within: float = 45.0,
    ) -> None:
        self._data_dir = data_dir
        self._settings = settings
        self._environment = clean_environment(environment)
        self._port = port
        self._options = options
        self._limits = {"nofile": max_open_files, "data": max_memory}
        self._ready_within = ready_within
        self._stops_within = stops_within
        self._cleanup = ExitStack()
        self._process: subprocess.Popen[bytes]
        self._log: Path
        self._last_log: str | None = None
        self.url: str
        """The URL of the gateway, without a path."""

    def __enter__(self) -> Self:
        """Start the gateway and wait until it listens."""
        folder = Path(self._cleanup.enter_context(TemporaryDirectory(prefix="batchgate-test-")))
        config = folder / "batchgate.toml"
        config.write_text(self._settings)
        self._log = folder / "stderr.log"
        command = [sys.executable, "-m", self.module, *self.command, "--config", str(config)]
        command += [] if self._port is None else ["--port", str(self._port)]
        command += ["--data-dir", str(self._data_dir), *self._options]
        limits = [f"--{name}={limit}" for name, limit in self._limits.items() if limit is not None]
        if limits:
            command = ["prlimit", *limits, *command]
        with self._log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                bufsize=0,  # so that select and readline see the same data
                cwd=self.folder or folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        assert self._process.stdout is not None
        self._cleanup.enter_context(self._process.stdout)
        try:
            self.url = self._wait_until_ready()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the gateway, and kill it if it does not stop."""
        try:
            if self._process.poll() is None and kind is None:
                self.terminate()
        finally:
            self.kill()
            if error is not None:
                error.add_note(f"The gateway's log ends:\n{_last_lines(self.log)}")
            self._last_log = self.log
            self._cleanup.close()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def data_dir(self) -> Path:
        """The folder of its database and blobs; it stays when the gateway stops."""
        return self._data_dir

    @property
    def log(self) -> str:
        """The text that it has written to stderr so far."""
        return self._log.read_text(errors="replace") if self._last_log is None else self._last_log

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def terminate(self) -> int:
        """Send SIGTERM, wait for the end and return the exit status. Raises `GatewayFailed` if it does not stop."""
        self._process.terminate()
        try:
            return self._process.wait(self._stops_within)
        except subprocess.TimeoutExpired as error:
            raise GatewayFailed(f"still running {self._stops_within:g} s after SIGTERM") from error

    def wait(self) -> int:
        """Wait for an end that something else causes, and return the exit status (-9 after SIGKILL)."""
        try:
            return self._process.wait(self._stops_within)
        except subprocess.TimeoutExpired as error:
            raise GatewayFailed(f"still running after {self._stops_within:g} s") from error

    def signal(self, number: int) -> None:
        """Send a signal and do not wait."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process at once (SIGKILL), as a crash does."""
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self) -> str:
        """Read the first line, which the gateway writes once it listens and which ends with its URL."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], self._ready_within)
        if not readable:
            raise GatewayFailed(f"not ready within {self._ready_within:g} s")
        line = self._process.stdout.readline().decode()
        banner = _BANNER.match(line)
        if banner is None:
            raise GatewayFailed(line or f"exited with status {self._process.wait()} before it was ready")
        return banner[1] or ""


class WorkerProcess(GatewayProcess):
    """A worker that runs while the context is entered, otherwise like `GatewayProcess`.

    Its settings name the database that it shares. It listens on no port unless ``port`` is given.
    """

    command = ("worker",)

    def __init__(self, *, port: int | None = None, **arguments: Any) -> None:
        super().__init__(port=port, **arguments)


def clean_environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make the environment of a process under test: none of the machine's keys and settings, plus ``added``."""
    inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    return inherited | {"PYTHONUNBUFFERED": "1"} | dict(added or {})


def _last_lines(log: str) -> str:
    return "\n".join(log.splitlines()[-_LOG_LINES_SHOWN:])
