"""Bounds the attempts that are made at the same time, and shares them among the workspaces."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class AttemptSlots:
    """A bounded number of slots; a free one goes to the workspace that holds the fewest, and there to the first waiter.

    So a workspace whose receivers are slow holds all slots only while no other workspace needs one.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._held = Counter[str]()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, workspace: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        await self._acquire(workspace)
        try:
            yield
        finally:
            self._release(workspace)

    async def _acquire(self, workspace: str) -> None:
        if self._free:  # then nobody waits
            self._take(workspace)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(workspace, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the slot was given in the same moment
                self._release(workspace)
            raise

    def _take(self, workspace: str) -> None:
        self._free -= 1
        self._held[workspace] += 1

    def _release(self, workspace: str) -> None:
        self._free += 1
        self._held[workspace] -= 1
        if not self._held[workspace]:
            del self._held[workspace]
        self._give_on()

    def _give_on(self) -> None:
        """Give the free slot to a waiter, if there is one."""
        for workspace in sorted(self._waiting, key=self._held.__getitem__):
            turn = self._first_waiter(workspace)
            if turn is not None:
                self._take(workspace)
                turn.set_result(None)
                return

    def _first_waiter(self, workspace: str) -> asyncio.Future[None] | None:
        """Remove and return the first waiter of a workspace that was not cancelled."""
        waiters = self._waiting[workspace]
        turn = None
        while waiters and turn is None:
            first = waiters.popleft()
            turn = None if first.done() else first
        if not waiters:
            del self._waiting[workspace]
        return turn
