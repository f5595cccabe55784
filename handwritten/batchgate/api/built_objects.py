"""Keeps the objects that were last built for callers: the store returns the same batch while it is unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from batchgate.engine.model.batch import Batch

T = TypeVar("T")

MAX_KEPT: Final = 512
"""Objects that are kept; each has a few kilobytes at most."""


class BuiltObjects(Generic[T]):
    """Objects by the batch that they show, and by a text that they contain."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[Batch, T]] = {}

    def get(self, batch: Batch, text: str, build: Callable[[Batch, str], T]) -> T:
        """Return the object of this very batch and text, built if it is not kept."""
        kept = self._kept.get((id(batch), text))
        if kept is not None and kept[0] is batch:
            return kept[1]
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        built = build(batch, text)
        self._kept[id(batch), text] = batch, built  # the batch is kept too, so that no other gets its id
        return built
