"""``batchgate simulate``: the simulated model as a provider of its own, for load tests and for trying settings."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

import click
from aiohttp import web

from batchgate.engine.model.errors import ConfigurationError
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings

DEFAULTS: Final = SimulatorSettings()
BACKLOG: Final = 1024
STOPS_WITHIN: Final = 1.0  # seconds

_SECONDS: Final = click.FloatRange(min=0)
_PART: Final = click.FloatRange(0, 1)
_COUNT: Final = click.IntRange(min=0)


@click.command("simulate")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8090,
    show_default=True,
    help="Listen on this port; 0 takes a free one.",
)
@click.option(
    "--latency",
    type=_SECONDS,
    default=DEFAULTS.latency,
    show_default=True,
    help="Answer after so many seconds.",
)
@click.option(
    "--jitter",
    type=_PART,
    default=DEFAULTS.jitter,
    show_default=True,
    help="Let the latency of a call stray by this part of it, up or down.",
)
@click.option(
    "--error-rate",
    type=_PART,
    default=DEFAULTS.error_rate,
    show_default=True,
    help="Fail this part of the calls with 500 or 529.",
)
@click.option(
    "--rate-limit-rate",
    type=_PART,
    default=DEFAULTS.rate_limit_rate,
    show_default=True,
    help="Answer this part of the calls with 429.",
)
@click.option(
    "--retry-after",
    type=_SECONDS,
    default=DEFAULTS.retry_after,
    show_default=True,
    help="Ask for so many seconds of waiting with a 429.",
)
@click.option(
    "--max-concurrency", type=_COUNT, help="Answer 429 to calls beyond so many in flight; else all are served."
)
@click.option(
    "--require-key", metavar="KEY", help="Let only this API key in, as x-api-key or as Bearer; else any or none."
)
@click.option(
    "--output-tokens",
    type=_COUNT,
    default=DEFAULTS.output_tokens,
    show_default=True,
    help="Fill answers up to so many tokens of four characters.",
)
@click.option(
    "--seed",
    type=_COUNT,
    default=DEFAULTS.seed,
    show_default=True,
    help="Draw the faults from this number; the same one gives the same faults.",
)
def simulate_command(host: str, port: int, **behaviour: float | str | None) -> None:
    """Serve a simulated model that speaks Messages and OpenAI's API, until SIGTERM or Ctrl-C.

    It answers with what it was asked. GET /stats tells what it was asked so far; POST /stats/reset starts counting
    anew; PUT /settings changes how it behaves.
    """
    settings = SimulatorSettings(**behaviour)  # type: ignore[arg-type]
    asyncio.run(_serve(settings, host, port))


async def _serve(settings: SimulatorSettings, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(build_simulator_app(settings), access_log=None, shutdown_timeout=STOPS_WITHIN)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except OSError as error:
            raise ConfigurationError("--host, --port", f"an address to listen on: {error}") from error
        _announce(host, runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()


def _announce(host: str, port: int) -> None:
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"A simulated model listens on {url}\n  Messages      base URL {url}\n  OpenAI's API  base URL {url}/v1")
