"""Bounds how many calls of one kind the callers of an API key may have open at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from batchgate.engine.model.errors import RefusedError

RETRY_AFTER: Final = "5"  # seconds


class KeySlots:
    """The open calls of one kind by API key; on a gateway without keys all callers share the slots of one key."""

    def __init__(self, limit: int, kind: str) -> None:
        self._limit = limit
        self._kind = kind
        self._open: dict[tuple[str, str], int] = {}

    @contextmanager
    def hold(self, key: tuple[str, str]) -> Iterator[None]:
        """Count a call of a key while the context is entered; raises `RefusedError` if the key has too many.

        A key is its workspace and its name.
        """
        count = self._open.get(key, 0)
        if count >= self._limit:
            message = f"This API key has {count} {self._kind} open, the maximum. Try again when one has ended."
            raise RefusedError(
                "overloaded_error", message, code=f"too_many_{self._kind}", headers={"Retry-After": RETRY_AFTER}
            )
        self._open[key] = count + 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
