"""Waits with a progress bar until a batch has ended, and writes its results."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final

from batchgate.cli.batch_lines import batch_line
from batchgate.cli.command_text import Command
from batchgate.cli.failed_lines import failed_lines
from batchgate.cli.failures import BatchPaused, CallFailed
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.minute_lines import lines_each_minute
from batchgate.cli.output_file import output_file
from batchgate.cli.pause_help import pause_help
from batchgate.cli.progress_bar import Draw, progress_bars
from batchgate.cli.terminal_text import say
from batchgate_api.gateway import BatchProgress

SHORTEST_PAUSE: Final = 0.1  # seconds
LONGEST_PAUSE: Final = 2.0  # seconds
MAX_OUTAGE: Final = 60.0
"""Seconds for which the gateway may be unreachable, during a restart for example, before waiting fails."""


async def wait_until_ended(client: GatewayClient, batch_id: str) -> BatchProgress:
    """Return the counts of a batch once it has ended; raises `CallFailed` if the gateway stays unreachable."""
    (progress,) = await wait_for_all(client, [batch_id])
    return progress


async def wait_for_all(client: GatewayClient, batch_ids: Sequence[str]) -> Sequence[BatchProgress]:
    """Return the counts of batches once all have ended.

    Raises `CallFailed` if the gateway stays unreachable, and `BatchPaused` for a batch that would wait in vain.
    """
    found = [await client.progress(batch_id) for batch_id in batch_ids]
    pause = SHORTEST_PAUSE
    reported: str | None = None
    async with _display(lambda: found, client.command) as draw:
        while True:
            draw(found)
            _check_errors(found)
            waits = next((batch for batch in found if batch.paused is not None), None)
            if waits is not None and waits.paused is not None and waits.paused.reason != reported:
                reported = waits.paused.reason
                say(f"Waiting: {reported}; {pause_help(waits.id, waits.paused.code, client.command)}", err=True)
            if all(_has_ended(batch) for batch in found):
                return found
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, LONGEST_PAUSE)
            found = [batch if _has_ended(batch) else await read_progress(client, batch.id) for batch in found]


@asynccontextmanager
async def _display(batches: Callable[[], Sequence[BatchProgress]], command: Command) -> AsyncIterator[Draw]:
    """Yield what draws bars on stderr, because stdout is for ids and results; elsewhere print lines once a minute."""

    def lines() -> Iterator[str]:
        return (batch_line(batch, command) for batch in batches() if not _has_ended(batch))

    with progress_bars("Waiting for results", sys.stderr) as draw:
        async with nullcontext() if sys.stderr.isatty() else lines_each_minute(lines, err=True):
            yield draw


def _check_errors(batches: Sequence[BatchProgress]) -> None:
    """Raise `BatchPaused` for a batch that was paused because its requests fail alike: time does not mend that."""
    for batch in batches:
        if batch.paused is not None and batch.paused.code == "identical_errors" and not _has_ended(batch):
            raise BatchPaused(batch.id, batch.paused.reason)


def _has_ended(batch: BatchProgress) -> bool:
    return batch.status in {"ended", "failed"}


async def write_results(
    client: GatewayClient, batch_id: str, target: Path, *, failed_only: bool = False, merged: bool = False
) -> None:
    """Write the results of an ended batch to stdout, or to a file that appears when it is complete.

    With ``failed_only``, those of requests that succeeded are left out. With ``merged``, those of retries are included.
    """
    with output_file(target) as file:
        async with aclosing(client.results(batch_id, merged=merged)) as results:
            async for piece in failed_lines(results) if failed_only else results:
                file.write(piece)


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
