"""``batchgate demo``: a gateway of its own runs a batch on a simulated model, from the submission to the results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import msgspec

from batchgate import __version__
from batchgate.cli.failures import INTERRUPTED_STATUS
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.log_output import log_to_stderr
from batchgate.cli.rendering import outcome
from batchgate.cli.umask import restrict_umask
from batchgate.cli.waiting import wait_until_ended, write_results
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.server import serve
from batchgate.settings import AccountSettings, Settings
from batchgate_api.anthropic import MessageBatchIndividualResponse, SucceededResult

MODEL: Final = SimulatorSettings(latency=0.4, jitter=0.5, rate_limit_rate=0.1, retry_after=0.2)
CONCURRENCY: Final = 8
STOPS_WITHIN: Final = 2.0  # seconds
RESULTS_SHOWN: Final = 3

CLOSING: Final = """\
With a model of your own:
  ANTHROPIC_API_KEY=...  batchgate serve     or OPENAI_API_KEY, OLLAMA_HOST, VLLM_BASE_URL
  batchgate submit FILE.jsonl --wait         or the Anthropic SDK, base_url http://127.0.0.1:8080/anthropic"""


class _Text(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    content: list[_Text]


@click.command("demo")
@click.option(
    "--requests", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Submit so many requests."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Let the gateway listen on this port; 0 takes a free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Keep the gateway's data in this folder; else in a temporary one, which is removed at the end.",
)
@click.option("--keep", is_flag=True, help="Keep the gateway up after the batch, until Ctrl-C.")
@click.pass_context
def demo_command(context: click.Context, requests: int, port: int, data_dir: str | None, *, keep: bool) -> None:
    """Start a gateway on this machine and run a batch on it, with a simulated model that needs no key.

    It uses none of your accounts and settings, and leaves nothing behind.
    """
    restrict_umask()
    log_to_stderr("warning")
    with TemporaryDirectory(prefix="batchgate-demo-") as folder:
        settings = Settings(
            port=port,
            data_dir=data_dir or str(Path(folder, "data")),
            shutdown_timeout=STOPS_WITHIN,
            accounts={"simulator": AccountSettings(provider="simulator", concurrency=CONCURRENCY, simulator=MODEL)},
        )
        finished = asyncio.run(_demonstrate(settings, requests, Path(folder, "results.jsonl"), keep=keep))
    if not finished:
        context.exit(INTERRUPTED_STATUS)


async def _demonstrate(settings: Settings, requests: int, results: Path, *, keep: bool) -> bool:
    """Run the batch beside the gateway; false when a signal stopped the gateway before the batch was done."""
    async with _gateway(settings) as (url, serving):
        tour = asyncio.create_task(_tour(url, requests, results))
        await asyncio.wait({tour, serving}, return_when=asyncio.FIRST_COMPLETED)
        if not tour.done():
            tour.cancel()
            with suppress(asyncio.CancelledError):
                await tour
            return False
        tour.result()
        if keep:
            click.echo(f"The gateway still serves at {url}; Ctrl-C stops it.")
            await serving
    return True


@asynccontextmanager
async def _gateway(settings: Settings) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """Serve while the context is entered; gives the URL and the task that ends when a signal stops the gateway."""
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, listening.set_result))
    try:
        either: set[asyncio.Future[str] | asyncio.Task[None]] = {listening, serving}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        yield await listening, serving
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def _tour(url: str, requests: int, results: Path) -> None:
    click.echo(f"Batchgate {__version__} listens on {url}, with a simulated model that answers every tenth call 429.")
    async with GatewayClient(url) as client:
        batch = await client.create(_questions(requests))
        click.echo(f"Submitted {requests} requests as {batch.id}")
        progress = await wait_until_ended(client, batch.id)
        await write_results(client, batch.id, results)
    click.echo(f"Ended: {outcome(progress)}. The results begin:")
    with results.open("rb") as file:
        for line in islice(file, RESULTS_SHOWN):
            click.echo(f"  {_shown(line)}")
    click.echo(CLOSING)


async def _questions(count: int) -> AsyncIterator[bytes]:
    """Write the body of a create, as a program would."""
    separator = b'{"requests":['
    for request in _requests(count):
        yield separator + msgspec.json.encode(request)
        separator = b","
    yield b"]}"


def _requests(count: int) -> Iterator[dict[str, object]]:
    for number in range(1, count + 1):
        question = {"role": "user", "content": f"What is {number} times {number + 1}?"}
        params = {"model": "simulated-model", "max_tokens": 100, "messages": [question]}
        yield {"custom_id": f"question-{number:04}", "params": params}


def _shown(line: bytes) -> str:
    response = msgspec.json.decode(line, type=MessageBatchIndividualResponse)
    result = response.result
    if not isinstance(result, SucceededResult):
        return f"{response.custom_id}  {type(result).__name__}"
    message = msgspec.json.decode(result.message, type=_Message)
    return f"{response.custom_id}  {''.join(block.text for block in message.content)}"
