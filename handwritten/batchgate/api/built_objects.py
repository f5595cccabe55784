"""Keeps the objects last built for callers: the store returns the same batch or page while it is unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")

MAX_KEPT: Final = 512
"""Objects that are kept; each has a few kilobytes at most."""


class BuiltObjects(Generic[S, T]):
    """Objects by the batch or page that they show, and by a text that they contain."""

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._kept: dict[tuple[int, str], tuple[S, T]] = {}

    def get(self, source: S, text: str, build: Callable[[S, str], T]) -> T:
        """Return the object of this very source and text, built if it is not kept."""
        kept = self.find(source, text)
        if kept is None:
            kept = build(source, text)
            self.keep(source, text, kept)
        return kept

    def find(self, source: S, text: str = "") -> T | None:
        """Return the object of this very source and text, if it is kept."""
        kept = self._kept.get((id(source), text))
        return kept[1] if kept is not None and kept[0] is source else None

    def keep(self, source: S, text: str, built: T) -> None:
        """Keep an object."""
        if len(self._kept) >= self._max_kept:
            self._kept.clear()
        self._kept[id(source), text] = source, built  # the source is kept too, so that no other gets its id
