"""The expected state of a batch, in random sequences of operations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

ANY_ANSWER: Final = 0.000001
"""A budget of a batch that any answer reaches."""
AMPLE: Final = 100.0
"""One that no number of answers reaches."""


@dataclass
class Model:
    """The expected state of a batch: its requests by custom_id with their outcomes, and its status."""

    endings: dict[str, str]
    """The type of each result; ``?`` if a race between a response and a cancel decides."""
    created: str = ""
    age: int = 0
    days: int = 1
    """The days from its creation to its expiry."""
    ended: bool = False
    canceled: bool = False
    archived: bool = False
    paused: str = ""
    """The code of its pause."""
    priority: str = "normal"
    concurrency: int | None = None
    budget: float | None = None
    taken_over: bool = False
    """Whether its successes are those of another batch, which cost nothing."""
    results: list[tuple[str, str]] = field(default_factory=list)

    def end_waiting_requests(self, ending: str) -> None:
        """Mark the requests that wait for a response as ended with this type; that also ends a pause."""
        self.ended, self.paused = True, ""
        self.endings = {name: ending if current == "waiting" else current for name, current in self.endings.items()}

    @property
    def is_open(self) -> bool:
        """Whether calls may be on their way, so that its costs change."""
        return not self.ended and "?" in self.endings.values()

    @property
    def has_spent_its_budget(self) -> bool:
        """Whether its answers have cost as much as its budget."""
        return self.budget == ANY_ANSWER and not self.taken_over and "succeeded" in self.endings.values()
