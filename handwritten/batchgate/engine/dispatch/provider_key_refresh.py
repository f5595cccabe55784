"""Reads the provider keys again at an interval, as any process may replace one."""

from __future__ import annotations

import asyncio
from typing import Final

from batchgate.engine.dispatch.router import Router

INTERVAL: Final = 30.0  # seconds


class ProviderKeyRefresh:
    """Refreshes the keys that are in files or secrets, so that a new key is used before the old one is revoked."""

    def __init__(self, router: Router, interval: float = INTERVAL) -> None:
        self._router = router
        self._interval = interval

    async def run(self) -> None:
        """Refresh the keys at each interval until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self._router.refresh_keys()
