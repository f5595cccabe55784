"""A gateway in a process of its own whose clock, and that of its database, is ahead of the machine's."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from aiohttp import web

from batchgate.api.protocol import JsonErrorRunner
from batchgate.app import build_app
from batchgate.engine.model.clock import MICROSECONDS, SystemClock
from batchgate.engine.support.failpoints import arm_failpoints
from batchgate.settings import load_settings
from tests.support.gateway_process import GatewayProcess

LATER: Final = 23.9 * 3600
"""Seconds by which the clock is ahead: a batch that begins now must be rescued now, and has not expired."""
ROOT: Final = Path(__file__).parents[2]


class _LaterClock(SystemClock):
    def now(self) -> int:
        """Return the time in microseconds since the epoch."""
        return super().now() + round(LATER * MICROSECONDS)

    async def database_time(self) -> int:
        """Return the time of the database's clock."""
        return self.now()


class LaterGateway(GatewayProcess):
    """A gateway that runs while the context is entered, otherwise like `GatewayProcess`."""

    module = "tests.support.later_gateway"
    folder = ROOT


async def _serve(arguments: list[str]) -> None:
    """Serve with the arguments of ``batchgate serve`` that `GatewayProcess` passes, until killed."""
    _, config, _, _, _, data_dir = arguments
    arm_failpoints(os.environ)
    settings = load_settings(Path(config), os.environ, data_dir=data_dir)
    clock = _LaterClock()
    database_time = clock.database_time if settings.database_url else None
    runner = JsonErrorRunner(build_app(settings, time_source=clock, database_time=database_time))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"Batchgate later listens on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[2:]))
