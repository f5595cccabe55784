"""Gathers single calls into groups until one is full or has waited long enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchgate_streams.batching.single_calls import Group, SingleCall

MAX_BYTES: Final = 64 * 1024 * 1024
"""The bytes of requests after which a batch is created, whatever their number; the gateway takes 256 MB."""


@dataclass
class _Gathered:
    timer: asyncio.TimerHandle
    calls: list[SingleCall] = field(default_factory=list)
    size: int = 0


class Gathering:
    """Calls ``start`` with a group and its calls, ``max_wait`` seconds after the first or once there are enough."""

    def __init__(
        self, start: Callable[[Group, Sequence[SingleCall]], None], *, max_requests: int, max_wait: float
    ) -> None:
        self._start = start
        self._max_requests = max_requests
        self._max_wait = max_wait
        self._groups: dict[Group, _Gathered] = {}

    def add(self, call: SingleCall) -> None:
        """Add a call to its group."""
        found = self._groups.get(call.group)
        if found is None:
            timer = asyncio.get_running_loop().call_later(self._max_wait, self.flush, call.group)
            found = self._groups[call.group] = _Gathered(timer)
        found.calls.append(call)
        found.size += len(call.body)
        if len(found.calls) >= self._max_requests or found.size >= MAX_BYTES:
            self.flush(call.group)

    def flush(self, group: Group) -> None:
        """Start the batch of a group; calls that were cancelled meanwhile are left out."""
        found = self._groups.pop(group)
        found.timer.cancel()
        waiting = [call for call in found.calls if call.waits]
        if waiting:
            self._start(group, waiting)

    def clear(self) -> list[SingleCall]:
        """Forget all groups and return their calls."""
        groups, self._groups = self._groups, {}
        for found in groups.values():
            found.timer.cancel()
        return [call for found in groups.values() for call in found.calls]
