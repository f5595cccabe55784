"""``batchgate demo``: runs a batch on a temporary gateway with a simulated provider, from submission to results."""

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
from aiohttp import web
from msgspec import structs

from batchgate import __version__
from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.cli.failures import INTERRUPTED_STATUS
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.log_output import log_to_stderr
from batchgate.cli.rendering import cost_text, job_text, lane_text, outcome
from batchgate.cli.terminal_text import say
from batchgate.cli.umask import restrict_umask
from batchgate.cli.waiting import wait_until_ended, write_results
from batchgate.providers.simulator.batches.app import SimulatedBatches
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.server import serve
from batchgate.settings import Settings
from batchgate_api.anthropic import MessageBatchIndividualResponse, SucceededResult
from batchgate_api.gateway import BatchProgress

LATENCY: Final = SimulatorSettings(latency=0.4, jitter=0.5)
BATCH_API: Final = SimulatedBatches(speed=20)
PRICE: Final = PriceSettings(input=1, output=5)
MANY_FROM: Final = "large-model"
"""The model of most requests, which travel in a job of the provider's batch API."""
FEW_FROM: Final = "small-model"
"""The model of too few requests for a job."""
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
    """Start a gateway on this machine and run a batch on a simulated provider; no key is needed.

    The provider has a batch API at half the price. Most requests travel in a job of it, the others are called directly.

    The demo reads none of your settings and leaves no files behind.
    """
    restrict_umask()
    log_to_stderr("warning")
    with TemporaryDirectory(prefix="batchgate-demo-") as folder:
        settings = Settings(
            port=port,
            data_dir=data_dir or str(Path(folder, "data")),
            shutdown_timeout=SHUTDOWN_TIMEOUT,
        )
        finished = asyncio.run(_demonstrate(settings, requests, Path(folder, "results.jsonl"), keep=keep))
    if not finished:
        context.exit(INTERRUPTED_STATUS)


async def _demonstrate(settings: Settings, requests: int, results: Path, *, keep: bool) -> bool:
    """Run the batch on the gateway; False if a signal stopped the gateway before the batch had ended."""
    async with _provider() as provider, _gateway(_with_account(settings, provider, requests)) as (url, serving):
        demo = asyncio.create_task(_run_batch(url, requests, results))
        await asyncio.wait({demo, serving}, return_when=asyncio.FIRST_COMPLETED)
        if not demo.done():
            demo.cancel()
            with suppress(asyncio.CancelledError):
                await demo
            return False
        demo.result()
        if keep:
            say(f"The gateway is still running at {url}; open it in a browser, and stop it with Ctrl-C.")
            await serving
    return True


def _with_account(settings: Settings, provider: str, requests: int) -> Settings:
    """Return settings with an account of the simulated provider, whose jobs begin at the larger part of the batch."""
    account = AccountSettings(
        provider="openai",
        base_url=f"{provider}/openai/v1",
        lane="auto",
        native_min_requests=requests - _few(requests),
        prices={"*": PRICE},
    )
    return structs.replace(settings, accounts={"simulator": account})


def _few(requests: int) -> int:
    """Return how many of the requests are for another model than the most."""
    return requests // 4


@asynccontextmanager
async def _provider() -> AsyncIterator[str]:
    """Run the simulated provider on a free port; yields its URL."""
    runner = web.AppRunner(build_simulator_app(LATENCY, BATCH_API), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


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
    say(f"Batchgate {__version__} listens on {url}, with a simulated provider whose batch API costs half the price.")
    async with GatewayClient(url) as client:
        batch_id = await client.create(_questions(requests))
        say(f"Submitted {requests} requests as {batch_id}")
        progress = await wait_until_ended(client, batch_id)
        await write_results(client, batch_id, results)
    say(f"Ended: {outcome(progress)}.")
    for fact in _lanes(progress):
        say(f"  {fact}")
    say("The first results:")
    with results.open("rb") as file:
        for line in islice(file, RESULTS_SHOWN):
            say(f"  {_result_text(line)}")
    say(CLOSING)


def _lanes(progress: BatchProgress) -> Iterator[str]:
    """Return which lanes the batch took, one fact a line."""
    yield from (f"Lane  {lane_text(part)}" for part in progress.lanes)
    yield from (f"Job   {job_text(job)}" for job in progress.jobs)
    if cost := cost_text(progress):
        yield f"Cost  {cost}"


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
        model = FEW_FROM if number > count - _few(count) else MANY_FROM
        params = {"model": model, "max_tokens": 100, "messages": [question]}
        yield {"custom_id": f"question-{number:04}", "params": params}


def _result_text(line: bytes) -> str:
    response = msgspec.json.decode(line, type=MessageBatchIndividualResponse)
    result = response.result
    if not isinstance(result, SucceededResult):
        return f"{response.custom_id}  {type(result).__name__}"
    message = msgspec.json.decode(result.message, type=_Message)
    return f"{response.custom_id}  {''.join(block.text for block in message.content)}"
