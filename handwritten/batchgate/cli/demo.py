"""``batchgate demo``: runs a batch on a temporary gateway with a simulated model, from submission to results."""

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
from batchgate.cli.terminal_text import say
from batchgate.cli.umask import restrict_umask
from batchgate.cli.waiting import wait_until_ended, write_results
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.server import serve
from batchgate.settings import AccountSettings, Settings
from batchgate_api.anthropic import MessageBatchIndividualResponse, SucceededResult

MODEL: Final = SimulatorSettings(latency=0.4, jitter=0.5, rate_limit_rate=0.1, retry_after=0.2)
SHUTDOWN_TIMEOUT: Final = 2.0  # seconds
RESULTS_SHOWN: Final = 3

CLOSING: Final = """\
With a real model:
  ANTHROPIC_API_KEY=...  batchgate serve     or OPENAI_API_KEY, OLLAMA_HOST, VLLM_BASE_URL
  batchgate submit FILE.jsonl --wait         or the Anthropic SDK, base_url http://127.0.0.1:8080/anthropic"""


class _Text(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    content: list[_Text]


@click.command("demo")
@click.option("--requests", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Number of requests.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of the gateway; 0 picks a free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Folder for the gateway's data (a temporary folder, removed at the end).",
)
@click.option("--keep", is_flag=True, help="Keep the gateway running after the batch, until Ctrl-C.")
@click.pass_context
def demo_command(context: click.Context, requests: int, port: int, data_dir: str | None, *, keep: bool) -> None:
    """Start a gateway on this machine and run a batch on a simulated model; no key is needed.

    The demo reads none of your settings and leaves no files behind.
    """
    restrict_umask()
    log_to_stderr("warning")
    with TemporaryDirectory(prefix="batchgate-demo-") as folder:
        settings = Settings(
            port=port,
            data_dir=data_dir or str(Path(folder, "data")),
            shutdown_timeout=SHUTDOWN_TIMEOUT,
            accounts={"simulator": AccountSettings(provider="simulator", simulator=MODEL)},
        )
        finished = asyncio.run(_demonstrate(settings, requests, Path(folder, "results.jsonl"), keep=keep))
    if not finished:
        context.exit(INTERRUPTED_STATUS)


async def _demonstrate(settings: Settings, requests: int, results: Path, *, keep: bool) -> bool:
    """Run the batch on the gateway; False if a signal stopped the gateway before the batch had ended."""
    async with _gateway(settings) as (url, serving):
        demo = asyncio.create_task(_run_batch(url, requests, results))
        await asyncio.wait({demo, serving}, return_when=asyncio.FIRST_COMPLETED)
        if not demo.done():
            demo.cancel()
            with suppress(asyncio.CancelledError):
                await demo
            return False
        demo.result()
        if keep:
            say(f"The gateway is still running at {url}; stop it with Ctrl-C.")
            await serving
    return True


@asynccontextmanager
async def _gateway(settings: Settings) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """Run a gateway; yields its URL and the task that ends when a signal stops it."""
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


async def _run_batch(url: str, requests: int, results: Path) -> None:
    say(f"Batchgate {__version__} listens on {url}, with a simulated model that refuses every tenth call (429).")
    async with GatewayClient(url) as client:
        batch = await client.create(_questions(requests))
        say(f"Submitted {requests} requests as {batch.id}")
        progress = await wait_until_ended(client, batch.id)
        await write_results(client, batch.id, results)
    say(f"Ended: {outcome(progress)}. The first results:")
    with results.open("rb") as file:
        for line in islice(file, RESULTS_SHOWN):
            say(f"  {_result_text(line)}")
    say(CLOSING)


async def _questions(count: int) -> AsyncIterator[bytes]:
    """Write the body of a create request in pieces."""
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


def _result_text(line: bytes) -> str:
    response = msgspec.json.decode(line, type=MessageBatchIndividualResponse)
    result = response.result
    if not isinstance(result, SucceededResult):
        return f"{response.custom_id}  {type(result).__name__}"
    message = msgspec.json.decode(result.message, type=_Message)
    return f"{response.custom_id}  {''.join(block.text for block in message.content)}"
