"""Spreads work that comes all at once over several rounds of the event loop, so that others get their turn between."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

AT_ONCE: Final = 32
"""How many go in one round: a few milliseconds of work on answers."""


class FairYield:
    """Lets so many go in each round of the event loop, in the order in which they came."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait_turn(self) -> None:
        """Go on in this round if it is not full yet, else in a later one."""
        loop = asyncio.get_running_loop()
        if self._left == self._at_once:
            loop.call_soon(self._next_round)
        if self._left:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_round(self) -> None:
        self._left = self._at_once
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        if self._left < self._at_once:
            asyncio.get_running_loop().call_soon(self._next_round)
