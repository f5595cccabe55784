"""Looks now and then if the key of an account was replaced, in this process or by another one."""

from __future__ import annotations

import asyncio
from typing import Final

from batchgate.engine.dispatch.router import Router

INTERVAL: Final = 30.0  # seconds


class ProviderKeyRefresh:
    """Reads the keys that are kept outside again: one that was replaced need not wait for the old one's end."""

    def __init__(self, router: Router, interval: float = INTERVAL) -> None:
        self._router = router
        self._interval = interval

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self._router.renew_keys()
