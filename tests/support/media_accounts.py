"""A gateway with accounts of the simulated Replicate, Runway and ElevenLabs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from batchgate.account_settings import AccountSettings
from batchgate.providers.simulator.media.tasks import MediaJournal
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.http_server import serving
from tests.support.openai_batches import create, download_lines, wait_for_final_status
from tests.support.running_app import RunningApp, running_app

KEY = "the-key-of-media"


@dataclass
class MediaGateway:
    """A gateway, and the simulator behind its accounts."""

    app: RunningApp
    simulator: str

    async def configure(self, **settings: Any) -> None:
        """Replace the settings of the simulator."""
        body = msgspec.json.encode(settings)
        async with self.app.client.put(f"{self.simulator}/simulator/media", data=body) as response:
            assert response.status == 204, await response.text()

    async def journal(self) -> MediaJournal:
        """Return the tasks and calls of the simulator."""
        async with self.app.client.get(f"{self.simulator}/simulator/media") as response:
            return msgspec.json.decode(await response.read(), type=MediaJournal)

    async def run(self, *lines: dict[str, Any], endpoint: str, provider: str, **more: Any) -> dict[str, Any]:
        """Run a batch, and return the result lines by id."""
        batch = await create(self.app, *lines, endpoint=endpoint, provider=provider, **more)
        return await self.results(batch["id"])

    async def results(self, batch_id: str) -> dict[str, Any]:
        """Wait for the end of a batch, and return its result lines by id."""
        ended = await wait_for_final_status(self.app, batch_id)
        assert ended["status"] != "failed", ended
        files = [ended[name] for name in ("output_file_id", "error_file_id") if ended[name]]
        return {line["custom_id"]: line for file in files for line in await download_lines(self.app, file)}


def line(custom_id: str, url: str, **body: Any) -> dict[str, Any]:
    """Make the line of a request to a url."""
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def media_accounts(simulator: str, *, keep_outputs: bool = False) -> dict[str, AccountSettings]:
    """Make accounts of the three providers at a simulator."""
    return {
        name: AccountSettings(
            provider=name,
            base_url=f"{simulator}/{name}",
            api_key=KEY,
            keep_outputs=keep_outputs and name != "elevenlabs",
        )
        for name in ("replicate", "runway", "elevenlabs")
    }


@asynccontextmanager
async def media_gateway(
    data_dir: Path, *, polls: int = 1, keep_outputs: bool = False, **settings: Any
) -> AsyncIterator[MediaGateway]:
    """Run a gateway and its simulator until the context is left."""
    async with serving(build_simulator_app(SimulatorSettings(latency=0, require_key=KEY))) as url:
        accounts = media_accounts(url, keep_outputs=keep_outputs)
        async with running_app(data_dir, accounts=accounts, **settings) as app:
            gateway = MediaGateway(app, url)
            await gateway.configure(polls=polls)
            yield gateway
