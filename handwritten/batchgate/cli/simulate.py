"""``batchgate simulate``: serves the simulated model over HTTP, for load tests and for trying settings."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Final

import click
from aiohttp import web

from batchgate.engine.model.errors import ConfigurationError
from batchgate.providers.simulator.batches.app import PROVIDERS, SimulatedBatches
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings

DEFAULTS: Final = SimulatorSettings()
BACKLOG: Final = 1024
SHUTDOWN_TIMEOUT: Final = 1.0  # seconds

_SECONDS: Final = click.FloatRange(min=0)
_FRACTION: Final = click.FloatRange(0, 1)
_COUNT: Final = click.IntRange(min=0)


@click.command("simulate")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8090,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--latency",
    type=_SECONDS,
    default=DEFAULTS.latency,
    show_default=True,
    help="Latency in seconds.",
)
@click.option(
    "--jitter",
    type=_FRACTION,
    default=DEFAULTS.jitter,
    show_default=True,
    help="Random latency jitter (fraction).",
)
@click.option(
    "--error-rate",
    type=_FRACTION,
    default=DEFAULTS.error_rate,
    show_default=True,
    help="Fraction of calls that fail with 500 or 529.",
)
@click.option(
    "--rate-limit-rate",
    type=_FRACTION,
    default=DEFAULTS.rate_limit_rate,
    show_default=True,
    help="Fraction of calls that are answered with 429.",
)
@click.option(
    "--retry-after",
    type=_SECONDS,
    default=DEFAULTS.retry_after,
    show_default=True,
    help="Retry-After of a 429, in seconds.",
)
@click.option("--max-concurrency", type=_COUNT, help="Answer 429 to calls beyond this number in flight (no limit).")
@click.option(
    "--require-key", metavar="KEY", help="Accept only this API key, as x-api-key or Bearer token (any or none)."
)
@click.option(
    "--output-tokens",
    type=_COUNT,
    default=DEFAULTS.output_tokens,
    show_default=True,
    help="Minimum length of answers, in tokens of four characters.",
)
@click.option(
    "--seed",
    type=_COUNT,
    default=DEFAULTS.seed,
    show_default=True,
    help="Seed of the random faults; the same seed gives the same faults.",
)
@click.option("--batches", is_flag=True, help="Serve the providers' own batch APIs too.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="How many times as fast as real time the batch APIs run (1); needs --batches.",
)
def simulate_command(
    host: str, port: int, *, batches: bool, speed: float | None, **behaviour: float | str | None
) -> None:
    """Serve a simulated model with the Messages API and OpenAI's API, until SIGTERM or Ctrl-C.

    The model repeats the question. GET /stats returns the calls so far, POST /stats/reset resets them, and PUT
    /settings changes the behaviour.
    """
    if speed is not None and not batches:
        raise click.UsageError("--speed needs --batches: only the batch APIs have a clock of their own.")
    settings = SimulatorSettings(**behaviour)  # type: ignore[arg-type]
    options = SimulatedBatches(speed=speed or 1.0) if batches else None
    asyncio.run(_serve(settings, options, host, port))


async def _serve(settings: SimulatorSettings, batches: SimulatedBatches | None, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = build_simulator_app(settings, batches)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            expected = f"an address to listen on; {host}:{port} cannot be used: {reason}"
            raise ConfigurationError("--host, --port", expected) from error
        _announce(host, runner.addresses[0][1], PROVIDERS if batches else ())
        await stop.wait()
    finally:
        await runner.cleanup()


def _announce(host: str, port: int, batch_apis: Sequence[str]) -> None:
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"A simulated model listens on {url}\n  Messages      base URL {url}\n  OpenAI's API  base URL {url}/v1")
    if batch_apis:
        click.echo(f"  Batch APIs    below {url}/PROVIDER, which is one of {', '.join(batch_apis)}")
