"""A gateway with webhooks, whose receivers run on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from batchgate.encryption.fernet import new_master_key
from tests.support.running_app import MovableClock, RunningApp, running_app

LOOPBACK: Final = ("127.0.0.0/8",)
LIFE: Final = ["batch.created", "batch.started", "batch.completed"]
"""The events of a batch that runs and ends."""


def gateway(folder: Path, **settings: Any) -> Any:
    """Run a gateway whose time is the present one: receivers compare it with theirs."""
    clock = MovableClock(time.time_ns() // 1000)
    environment = {"BATCHGATE_MASTER_KEY": new_master_key()}
    return running_app(folder, clock=clock, environment=environment, **({"webhook_networks": LOOPBACK} | settings))


async def add(app: RunningApp, url: str | None, *events: str) -> dict[str, Any]:
    """Create a webhook, and return it with its secret."""
    body = {"url": url, "events": list(events or LIFE)}
    status, webhook = await app.call("POST", "/api/webhooks", json=body)
    assert status == 200, webhook
    assert isinstance(webhook, dict)
    return webhook
