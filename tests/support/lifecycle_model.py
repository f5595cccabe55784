"""The expected state of a batch, in random sequences of operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from batchgate.engine.model.fail_fast import DEFAULT_FAIL_FAST
from tests.support.running_app import params

ANY_ANSWER: Final = 0.000001
"""A budget of a batch that any answer reaches."""
AMPLE: Final = 100.0
"""One that no number of answers reaches."""
PARAMS: Final = {"quick": params(), "wrong": params("wrong") | {"max_tokens": "many"}, "busy": params("busy/m")}
"""The params of requests by the beginnings of their names: those of ``wrong`` are always refused."""
OUTCOMES: Final = {"quick": "succeeded", "wrong": "errored", "busy": "waiting"}
"""How they end if nothing stops them."""
ENDINGS: Final = {"invalid_request_error": "errored"}
"""The type of the results of a kind of error."""


@dataclass
class Model:
    """The expected state of a batch: its requests by custom_id with their outcomes, and its status."""

    endings: dict[str, str]
    """The type of each result; with ``?`` behind it if a race decides whether the request got that far."""
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
    fail_fast: int | None = None
    """How many first same errors pause it, as its caller said."""
    taken_over: bool = False
    """Whether its successes are those of another batch, which cost nothing."""
    results: list[tuple[str, str]] = field(default_factory=list)

    def end_waiting_requests(self, ending: str) -> None:
        """Mark the requests that wait for a response as ended with this type; that also ends a pause."""
        self.ended, self.paused = True, ""
        self.endings = {name: ending if current == "waiting" else current for name, current in self.endings.items()}

    def pause_for_first_errors(self) -> None:
        """Pause the new batch if it will have that many same errors: it may be paused before its other responses."""
        limit = DEFAULT_FAIL_FAST if self.fail_fast is None else self.fail_fast
        if not self.ended and 0 < limit <= list(self.endings.values()).count("errored"):
            self.paused = "identical_errors"
            self.doubt("succeeded", "errored")

    def doubt(self, *endings: str) -> None:
        """Let a race decide which of the requests that would end so do."""
        self.endings = {name: f"{ending}?" if ending in endings else ending for name, ending in self.endings.items()}

    def settle(self) -> None:
        """Let all requests end as they do if nothing stops them."""
        self.endings = {name: ending.removesuffix("?") for name, ending in self.endings.items()}

    def may_end(self, name: str, ending: str) -> bool:
        """Return whether this is how a request of the ended batch may have ended."""
        expected = self.endings[name]
        stopped = "canceled" if self.canceled else "expired"
        return ending in ({expected.removesuffix("?"), stopped} if expected.endswith("?") else {expected})

    @property
    def is_open(self) -> bool:
        """Whether calls may be on their way, so that its costs change."""
        return not self.ended and "succeeded?" in self.endings.values()

    @property
    def has_spent_its_budget(self) -> bool:
        """Whether its answers have cost as much as its budget."""
        return self.budget == ANY_ANSWER and not self.taken_over and "succeeded" in self.endings.values()


def numbered(kind: str, count: int) -> list[str]:
    """Return the names of requests of a kind."""
    return [f"{kind}-{number}" for number in range(count)]


def new_model(names: Sequence[str], created: str, fail_fast: int | None) -> Model:
    """Return the expected state of a batch with new requests, which may pause it at once."""
    endings = {name: OUTCOMES[name.split("-")[0]] for name in names}
    model = Model(endings, created=created, fail_fast=fail_fast, ended="waiting" not in endings.values())
    model.pause_for_first_errors()
    return model
