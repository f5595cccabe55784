"""The priority of a batch: which share of the calls of its workspace it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Priority: TypeAlias = Literal["low", "normal", "high"]
"""What a caller asks for a batch; without one it is normal."""

WEIGHTS: Final[Mapping[Priority, int]] = {"low": 1, "normal": 9, "high": 81}
"""The shares of two batches of one workspace that compete are as their weights."""


class Contender(Struct, frozen=True, kw_only=True):
    """A batch that competes with one of another priority in its workspace."""

    workspace: str
    priority: Priority

    @property
    def weight(self) -> int:
        """Its part of the calls that its workspace gets."""
        return WEIGHTS[self.priority]


Contenders: TypeAlias = Mapping[int, Contender]
"""The batches of all workspaces whose open batches differ in priority, by their keys."""


def outranked(contenders: Contenders) -> frozenset[int]:
    """Return the batches beside which another one of their workspace has a higher priority."""
    highest: dict[str, int] = {}
    for contender in contenders.values():
        highest[contender.workspace] = max(contender.weight, highest.get(contender.workspace, 0))
    return frozenset(key for key, contender in contenders.items() if contender.weight < highest[contender.workspace])
