"""What a process needs to know of the others on its database: which of them live, and who does what only one may do.

An embedded gateway has none, and is its own only worker.
"""

from __future__ import annotations

from math import inf
from typing import Final, Literal, Protocol, TypeAlias, get_args

from batchgate.engine.model.health_report import HealthReport, WorkerHealth
from batchgate.engine.model.limit_share import FULL_SHARE, LimitShare

ClusterEvent: TypeAlias = Literal["stop_sending", "finalize", "validate"]
"""What processes tell each other of a batch: stop it, finalize it, validate its file."""

CLUSTER_EVENTS: Final[tuple[ClusterEvent, ...]] = get_args(ClusterEvent)


class ClusterListener(Protocol):
    """Told what the others do, as it happens."""

    def on_event(self, event: ClusterEvent, batch_key: int) -> None:
        """Learn of something that happened to a batch."""
        ...

    async def catch_up(self) -> None:
        """Look up what may have happened unheard; raises `StoreError`."""
        ...

    def set_share(self, share: LimitShare, until: float) -> None:
        """Keep to a share of the accounts' limits, and to none after a time of the loop."""
        ...

    @property
    def within_share(self) -> bool:
        """Whether what is under way does not exceed the share."""
        ...

    @property
    def health_report(self) -> HealthReport:
        """How this process is, as the others shall know it."""
        ...

    def report_connection(self, error: Exception | None) -> None:
        """Learn that the others are out of reach, or with None that they are not."""
        ...


class Cluster(Protocol):
    """The processes on one database, this one among them.

    Each is known by its heartbeat. One that has been still for too long is taken for dead, and loses whatever it held;
    if it was only paused, it is another member from then on.
    """

    @property
    def member(self) -> int | None:
        """The number of this process among the others, if there can be others."""
        ...

    @property
    def workers(self) -> int:
        """How many processes with a worker live, as far as is known."""
        ...

    @property
    def other_workers(self) -> tuple[WorkerHealth, ...]:
        """The other processes with a worker that live, and how they said they are."""
        ...

    async def run(self, listener: ClusterListener) -> None:
        """Keep this process among the living, and pass on what is heard of the others, until cancelled."""
        ...

    async def acquire_lease(self, name: str) -> bool:
        """Take or keep what only one process may have; False if another one that lives has it. Raises `StoreError`."""
        ...

    async def release_lease(self, name: str) -> None:
        """Let go of it, if it is held here. Raises `StoreError`."""
        ...


class SingleProcess:
    """The `Cluster` of a process that is alone."""

    member: int | None = None
    workers = 1
    other_workers: tuple[WorkerHealth, ...] = ()

    async def run(self, listener: ClusterListener) -> None:
        """Leave all that the accounts allow to this process."""
        listener.set_share(FULL_SHARE, inf)

    async def acquire_lease(self, name: str) -> bool:  # noqa: ARG002 - there is nobody else
        """Have it."""
        return True

    async def release_lease(self, name: str) -> None:
        """Pass over it."""
