"""Runs a ``batchgate`` command on a terminal of its own, as a person does."""

import asyncio
import os
import pty
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from tests.support.command import PROGRAM
from tests.support.gateway_process import clean_environment


class Terminal:
    """What a command has written so far, and the keyboard."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self._descriptor = descriptor
        self._process = process
        self.text = ""

    async def wait_for(self, text: str) -> None:
        """Read until the command has written a text."""
        while text not in self.text:
            assert await self._read(), self.text

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._descriptor, f"{line}\n".encode())

    async def end(self) -> int:
        """Read to the end, and return the exit status."""
        while await self._read():
            pass
        return await self._process.wait()

    async def _read(self) -> bool:
        with suppress(OSError):  # a terminal that the command has left cannot be read
            piece = await asyncio.to_thread(os.read, self._descriptor, 65536)
            self.text += piece.decode()
            return bool(piece)
        return False


@asynccontextmanager
async def on_terminal(*words: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Terminal]:
    """Start a command, and kill it when the context is left."""
    own, its = pty.openpty()
    given = clean_environment({"TERM": "xterm-256color"} | dict(environment or {}))
    process = await asyncio.create_subprocess_exec(*PROGRAM, *words, stdin=its, stdout=its, stderr=its, env=given)
    os.close(its)
    try:
        yield Terminal(own, process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(own)
