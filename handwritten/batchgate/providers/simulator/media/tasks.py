"""The tasks of the simulated providers: each runs until it has been polled a few times, so no clock is needed.

Words in the request decide how a task ends: one with ``[fail]`` fails, and one with ``[never]`` runs until it is
canceled.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

FAIL: Final = "[fail]"
NEVER: Final = "[never]"

TaskStatus: TypeAlias = Literal["waiting", "running", "succeeded", "failed", "canceled"]


class MediaSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the simulated providers behave."""

    polls: int = 2
    """The polls after which a task ends."""
    refuse: int = 0
    """The next creates that are refused for load."""
    output_base: str = "https://media.example"
    """The URL below which the videos of tasks are."""
    audio_bytes: int = 4096
    """The size of audio."""


class SimulatedTask(Struct):
    """One task, and what happened to it."""

    id: str
    provider: str
    path: str
    model: str
    input: dict[str, object]
    text: str
    """The request as text."""
    polls_left: int
    output_base: str
    status: TaskStatus = "waiting"
    polls: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether it does not change any more."""
        return self.status in {"succeeded", "failed", "canceled"}

    def poll(self) -> None:
        """Count a poll, and go on."""
        self.polls += 1
        if self.has_ended:
            return
        self.status = "running"
        self.polls_left -= 1
        if self.polls_left <= 0 and NEVER not in self.text:
            self.status = "failed" if FAIL in self.text else "succeeded"

    def cancel(self) -> None:
        """Cancel it if it has not ended."""
        if not self.has_ended:
            self.status = "canceled"


class MediaJournal(Struct, frozen=True):
    """All tasks, oldest first, and the calls that made audio."""

    tasks: list[SimulatedTask]
    audio_calls: int
