"""Waits with a progress bar until a batch has ended, and writes its results."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from batchgate.cli.failed_lines import failed_lines
from batchgate.cli.failures import CallFailed, CommandFailed
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.progress_bar import progress_bar
from batchgate.cli.terminal_text import say
from batchgate_api.gateway import BatchProgress

SHORTEST_PAUSE: Final = 0.1  # seconds
LONGEST_PAUSE: Final = 2.0  # seconds
MAX_OUTAGE: Final = 60.0
"""Seconds for which the gateway may be unreachable, during a restart for example, before waiting fails."""

STANDARD_OUTPUT: Final = Path("-")


async def wait_until_ended(client: GatewayClient, batch_id: str) -> BatchProgress:
    """Return the counts of a batch once it has ended; raises `CallFailed` if the gateway stays unreachable."""
    progress = await client.progress(batch_id)
    pause = SHORTEST_PAUSE
    reported: str | None = None
    with progress_bar("Waiting for results", sys.stderr) as draw:  # because stdout is for ids and results
        while True:
            draw([progress])
            if progress.paused is not None and progress.paused.reason != reported:
                reported = progress.paused.reason
                say(f"\nWaiting: {reported}", err=True)
            if progress.status in {"ended", "failed"}:
                return progress
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, LONGEST_PAUSE)
            progress = await read_progress(client, batch_id)


async def write_results(
    client: GatewayClient, batch_id: str, target: Path, *, failed_only: bool = False, merged: bool = False
) -> None:
    """Write the results of an ended batch to stdout, or to a file that appears when it is complete.

    With ``failed_only``, those of requests that succeeded are left out. With ``merged``, those of retries are included.
    """
    try:
        with _opened(target) as file:
            async with aclosing(client.results(batch_id, merged=merged)) as results:
                async for piece in failed_lines(results) if failed_only else results:
                    file.write(piece)
    except BrokenPipeError:
        raise  # the reader has stopped, as with `| head`: click exits quietly
    except OSError as error:
        raise CommandFailed(f"{target}: cannot write the results: {error.strerror or error}") from error


async def read_progress(client: GatewayClient, batch_id: str) -> BatchProgress:
    """Read the counts; retry while the gateway is unreachable."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + MAX_OUTAGE
    while True:
        try:
            return await client.progress(batch_id)
        except CallFailed as error:
            if not error.retry_safe or loop.time() > deadline:
                raise
        await asyncio.sleep(LONGEST_PAUSE)


@contextmanager
def _opened(target: Path) -> Iterator[BinaryIO]:
    if target == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    place = target.resolve()
    if place.exists() and not place.is_file():  # a device or a pipe must not be replaced by a file
        with place.open("wb") as device:
            yield device
        return
    unfinished = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)
