"""Commands that wait without a terminal print how it stands at least once a minute."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import msgspec
import pytest
from msgspec import structs

from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.waiting import wait_until_ended
from batchgate_api.gateway import BatchPause, BatchProgress
from tests.support.virtual_time import in_virtual_time

RUNNING = msgspec.json.decode(Path("spec/examples/BatchProgress/half.json").read_bytes(), type=BatchProgress)
PAUSE = BatchPause(
    state="paused", code="budget_reached", reason="the budget", since="2026-11-30T00:00:00Z", by=None, native_jobs=None
)


class Gateway:
    """Has a batch that ends five and a half minutes from now, and is paused in the third of them."""

    def command(self, *words: str) -> str:
        """Return a command for a help text."""
        return " ".join(words)

    async def progress(self, _batch_id: str) -> BatchProgress:
        """Return how far the batch is."""
        now = asyncio.get_running_loop().time()
        if now > 330:
            return structs.replace(RUNNING, status="ended")
        return structs.replace(RUNNING, paused=PAUSE if 120 < now < 180 else None)


@in_virtual_time
async def test_a_line_a_minute_says_how_far_a_batch_is_and_how_a_paused_one_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await wait_until_ended(cast("GatewayClient", Gateway()), RUNNING.id)
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "Waiting for results"
    assert [line for line in shown if line.startswith("Waiting: ")] == [
        f"Waiting: the budget; to go on: budget {RUNNING.id} --usd AMOUNT"
    ]
    lines = [line for line in shown if line.startswith(f"{RUNNING.id} in_progress ")]
    assert len(lines) == 5
