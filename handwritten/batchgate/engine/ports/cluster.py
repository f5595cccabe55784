"""The cluster: all processes on one database, with their heartbeats, leases and shares of the limits.

A gateway on SQLite is the only process of its cluster.
"""

from __future__ import annotations

from math import inf
from typing import Final, Literal, Protocol, TypeAlias, get_args

from batchgate.engine.model.health_report import HealthReport, WorkerHealth
from batchgate.engine.model.limit_share import FULL_SHARE, LimitShare

ClusterEvent: TypeAlias = Literal["stop_sending", "expire", "steer", "finalize", "validate"]
"""The events about a batch that processes send each other."""

CLUSTER_EVENTS: Final[tuple[ClusterEvent, ...]] = get_args(ClusterEvent)


class ClusterListener(Protocol):
    """Receives the events of the cluster, and reports the state of this process to it."""

    def on_event(self, event: ClusterEvent, batch_key: int) -> None:
        """Handle an event about a batch."""
        ...

    async def catch_up(self) -> None:
        """Read from the store what missed events would have reported; raises `StoreError`."""
        ...

    def set_share(self, share: LimitShare, until: float) -> None:
        """Use at most this share of the account limits; after ``until``, a time of the event loop, use nothing."""
        ...

    @property
    def within_share(self) -> bool:
        """Whether the requests in flight do not exceed the share."""
        ...

    @property
    def health_report(self) -> HealthReport:
        """The health of this process, for the other processes."""
        ...

    def report_connection(self, error: Exception | None) -> None:
        """Record that the connection to the cluster failed, or with None that it works."""
        ...


class Cluster(Protocol):
    """The processes on one database, this process included.

    A process that misses heartbeats for too long is considered dead, and loses its leases and shards. If it was only
    paused, it rejoins as a new member.
    """

    @property
    def member(self) -> int | None:
        """The member number of this process; None if there can be no other process."""
        ...

    @property
    def workers(self) -> int:
        """The number of live processes with a worker, as of the last heartbeat."""
        ...

    @property
    def no_worker_since(self) -> int | None:
        """Since when no process has a worker, in microseconds since the epoch; None if there is one."""
        ...

    @property
    def other_workers(self) -> tuple[WorkerHealth, ...]:
        """The health of the other live processes with a worker, as they last reported it."""
        ...

    async def run(self, listener: ClusterListener) -> None:
        """Send heartbeats and pass events to the listener, until cancelled."""
        ...

    async def acquire_lease(self, name: str) -> bool:
        """Take or renew a lease; False if another live process has it. Raises `StoreError`."""
        ...

    async def release_lease(self, name: str) -> None:
        """Release a lease, if this process has it. Raises `StoreError`."""
        ...


class SingleProcess:
    """The `Cluster` of a process that has its database for itself."""

    member: int | None = None
    workers = 1
    no_worker_since: int | None = None
    other_workers: tuple[WorkerHealth, ...] = ()

    async def run(self, listener: ClusterListener) -> None:
        """Give the full account limits to this process."""
        listener.set_share(FULL_SHARE, inf)

    async def acquire_lease(self, name: str) -> bool:  # noqa: ARG002 - no other process competes for it
        """Return True."""
        return True

    async def release_lease(self, name: str) -> None:
        """Do nothing."""
