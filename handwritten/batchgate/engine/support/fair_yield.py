"""Spreads a burst of tasks over several rounds of the event loop, so that other tasks run in between."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

TASKS_PER_ROUND: Final = 32
"""These take a few milliseconds together, when each decodes an answer."""


class FairYield:
    """Lets a bounded number of tasks continue in each round of the event loop, first come, first served."""

    def __init__(self, tasks_per_round: int = TASKS_PER_ROUND) -> None:
        self._tasks_per_round = tasks_per_round
        self._left = tasks_per_round
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait_turn(self) -> None:
        """Return at once if this round has room for another task, otherwise in a later round."""
        loop = asyncio.get_running_loop()
        if self._left == self._tasks_per_round:
            loop.call_soon(self._start_round)
        if self._left:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _start_round(self) -> None:
        self._left = self._tasks_per_round
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        if self._left < self._tasks_per_round:
            asyncio.get_running_loop().call_soon(self._start_round)
