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

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[S, T]] = {}

    def get(self, source: S, text: str, build: Callable[[S, str], T]) -> T:
        """Return the object of this very source and text, built if it is not kept."""
        kept = self._kept.get((id(source), text))
        if kept is not None and kept[0] is source:
            return kept[1]
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        built = build(source, text)
        self._kept[id(source), text] = source, built  # the source is kept too, so that no other gets its id
        return built
