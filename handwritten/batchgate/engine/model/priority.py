"""The priority of a batch: which share of the calls of its workspace it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Priority: TypeAlias = Literal["low", "normal", "high"]
"""What a caller asks for a batch; without one it is normal."""

PriorityScope: TypeAlias = Literal["workspace", "gateway"]
"""With which batches a batch competes by its priority: those of its workspace, or those of all workspaces."""

CapacityClass: TypeAlias = Literal["low", "high", "gateway low", "gateway high"]
"""Batches that have a capacity of their own in the admission buffer, beside those of the priority normal."""

WEIGHTS: Final[Mapping[Priority, int]] = {"low": 1, "normal": 9, "high": 81}
"""The shares of two batches of one workspace that compete are as their weights."""


class Contender(Struct, frozen=True, kw_only=True):
    """A batch that competes with one of another priority in its workspace, or with all others of the gateway."""

    workspace: str
    priority: Priority
    scope: PriorityScope = "workspace"

    @property
    def weight(self) -> int:
        """Its part of the calls that its workspace gets."""
        return WEIGHTS[self.priority]

    @property
    def capacity_class(self) -> CapacityClass | None:
        """The class whose capacity its requests use; None for that of all batches."""
        match self.priority:
            case "normal":
                return None
            case "low":
                return "gateway low" if self.scope == "gateway" else "low"
            case "high":
                return "gateway high" if self.scope == "gateway" else "high"


Contenders: TypeAlias = Mapping[int, Contender]
"""The batches of all workspaces whose open batches differ in priority, and those with the scope ``gateway``."""


def of_gateway(contenders: Contenders) -> Mapping[int, Contender]:
    """Return the batches that compete with all others of the gateway."""
    return {key: contender for key, contender in contenders.items() if contender.scope == "gateway"}


def of_workspaces(contenders: Contenders) -> Mapping[int, Contender]:
    """Return the batches that compete with others of their workspace."""
    return {key: contender for key, contender in contenders.items() if contender.scope == "workspace"}


class Outranked:
    """The batches beside which another one has a higher priority."""

    def __init__(self, contenders: Contenders) -> None:
        gateway, workspaces = of_gateway(contenders), of_workspaces(contenders)
        highest: dict[str, int] = {}
        for contender in workspaces.values():
            highest[contender.workspace] = max(contender.weight, highest.get(contender.workspace, 0))
        self._keys = {key for key, contender in workspaces.items() if contender.weight < highest[contender.workspace]}
        self._keys |= {key for key, contender in gateway.items() if contender.priority == "low"}
        self._raised = {key for key, contender in gateway.items() if contender.priority == "high"}

    def __contains__(self, batch_key: int) -> bool:
        """Check if others go before a batch."""
        return batch_key in self._keys or (bool(self._raised) and batch_key not in self._raised)
