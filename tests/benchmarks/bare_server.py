"""The baseline of reads: a bare aiohttp application that sends recorded answers, run in a process of its own.

Its command is ``python -m tests.benchmarks.bare_server FILE``; the file has the recorded `Answer`s.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from aiohttp import web
from msgspec import Struct


class Answer(Struct, frozen=True):
    """A recorded answer of a gateway, without the headers that aiohttp sets itself."""

    path: str
    """The path of the request, without a query."""
    headers: dict[str, str]
    body: str


class BareServer(Struct, frozen=True):
    """A running baseline."""

    url: str
    pid: int


@contextmanager
def bare_server(answers: Sequence[Answer]) -> Iterator[BareServer]:
    """Serve the answers while the context is entered."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "answers.json"
        file.write_bytes(msgspec.json.encode(answers))
        command = [sys.executable, "-m", "tests.benchmarks.bare_server", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield BareServer(process.stdout.readline().strip(), process.pid)
            finally:
                process.kill()


def _send(answer: Answer) -> web.RouteDef:
    body = answer.body.encode()

    async def send(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=answer.headers)

    return web.get(answer.path, send)


async def serve(answers: Sequence[Answer]) -> None:
    """Serve the recorded answers, print the URL, and run until killed."""
    app = web.Application()
    app.add_routes(map(_send, answers))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=list[Answer])))
