"""`Cluster` on PostgreSQL: one row with a heartbeat per process, leases in a table, and events sent by NOTIFY.

Every decision that depends on which processes are alive is made in one transaction at a time, under a lock. A process
counts as dead exactly when its row is deleted. One that resumes after a long pause finds its row deleted and rejoins.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from math import inf
from types import TracebackType
from typing import Final, Self

import msgspec
import psycopg
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from batchgate.engine.cluster.heartbeats import Heartbeats
from batchgate.engine.model.clock import SystemClock
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.health_report import HEALTHY, HealthReport, WorkerHealth
from batchgate.engine.model.limit_share import NO_SHARE, LimitShare, fair_share, next_share
from batchgate.engine.ports.cluster import CLUSTER_EVENTS, ClusterEvent, ClusterListener
from batchgate.engine.support.cancellation import cancel_all, shielded
from batchgate.store.postgres.address import PostgresAddress
from batchgate.store.postgres.connection import QUERIES, PostgresPool, Row, Transaction

logger = logging.getLogger(__name__)

SHARE_CHECK_INTERVAL: Final = 0.05  # seconds between two checks if the calls in flight fit into a smaller share
RETRY_DELAY: Final = 1.0  # seconds before connecting again
MAX_CONNECTIONS: Final = 2


class _Notification(Struct):
    """A message on the NOTIFY channel."""

    event: str
    batch: int = 0


class PostgresCluster:
    """The processes on one database. An async context manager; the schema has to exist when it is entered.

    ``timeout``: seconds within which another process takes over the work of a process that died.
    """

    def __init__(self, address: PostgresAddress, *, name: str, role: str, timeout: float) -> None:
        self._address = address
        self._pool = PostgresPool(address, connections=MAX_CONNECTIONS)
        self._name = name
        self._role = role
        self._heartbeats = Heartbeats(timeout)
        self.member: int | None = None
        """The id of this process in the cluster; None while it is not a member."""
        self.workers = 1
        """Number of live processes with a worker, as of the last heartbeat."""
        self.no_worker_since: int | None = None
        """When this process found that there is no worker, in microseconds since the epoch."""
        self._unreadable_members: set[int] = set()
        self.other_workers: tuple[WorkerHealth, ...] = ()
        """The health of the other live workers, as they last reported it."""
        self._members_changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect and join the cluster."""
        try:
            await self._pool.open()
            self.member = await self._pool.write(self._join)
        except BaseException:
            await self._pool.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster, so that the others need not wait until this process is considered dead."""
        with suppress(StoreError):
            await shielded(self._pool.write(self._leave))
        self.member = None
        await self._pool.close()

    async def run(self, listener: ClusterListener) -> None:
        """Send heartbeats and pass events to the listener, until cancelled."""
        listener.set_share(NO_SHARE, -inf)
        tasks = [asyncio.create_task(self._run_heartbeats(listener)), asyncio.create_task(self._listen(listener))]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:  # a task ends only by failing
                task.result()
        finally:
            await cancel_all(tasks)

    async def acquire_lease(self, name: str) -> bool:
        """Acquire or keep a lease; False if another live process has it."""
        params = {"name": name, "member": self.member, "dead_after": self._heartbeats.dead_after}
        if self.member is None:
            return False
        holder = await self._pool.fetch_one("find_lease_holder", params)
        if holder is not None:
            return bool(holder["member"] == self.member)
        acquired = await self._pool.write(
            lambda transaction: transaction.fetch_one("acquire_lease", params), repeatable=True
        )
        return acquired is not None

    async def release_lease(self, name: str) -> None:
        """Release a lease, if this process has it."""
        params = {"name": name, "member": self.member}
        await self._pool.write(lambda transaction: transaction.execute("release_lease", params), repeatable=True)

    async def _run_heartbeats(self, listener: ClusterListener) -> None:
        """Send heartbeats, read which workers are alive, and adjust the share of the limits."""
        while True:
            self._members_changed.clear()
            try:
                share_settled = await self._heartbeat(listener)
            except StoreError as error:
                listener.report_connection(error)
                await asyncio.sleep(min(RETRY_DELAY, self._heartbeats.interval))
            else:
                listener.report_connection(None)
                await self._wait_for_change(self._heartbeats.interval if share_settled else SHARE_CHECK_INTERVAL)

    async def _wait_for_change(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._members_changed.wait()

    async def _heartbeat(self, listener: ClusterListener) -> bool:
        """Send one heartbeat; False if the share is not adjusted yet, because calls in flight have to end first.

        The share is valid from the time before the heartbeat is written, so it never outlasts what the others assume.
        """
        started = asyncio.get_running_loop().time()
        report = listener.health_report
        workers = await self._pool.write(
            lambda transaction: self._record_heartbeat(transaction, report), repeatable=True
        )
        if workers is None:
            await self._rejoin(listener)
            return False
        self._heartbeats.record_beat(started)
        self.workers = len(workers)
        self.no_worker_since = None if workers else self.no_worker_since or SystemClock().now()
        self.other_workers = tuple(self._worker_health(row) for row in workers if row["id"] != self.member)
        if self._role == "gateway":
            return True
        return await self._adjust_share(listener, workers, started + self._heartbeats.self_evict_after)

    async def _adjust_share(self, listener: ClusterListener, workers: list[Row], until: float) -> bool:
        current, wanted = self._shares(workers)
        if wanted.intersection(current) == wanted:
            # The share shrinks or stays: the rest is published as free only when no call in flight uses it any more.
            listener.set_share(wanted, until)
            if not listener.within_share:
                return False
        if wanted != current:
            published = await self._pool.write(
                lambda transaction: self._publish_share(transaction, wanted), repeatable=True
            )
            if not published:
                return False
            listener.set_share(wanted, until)
        return True

    def _shares(self, workers: list[Row]) -> tuple[LimitShare, LimitShare]:
        """Return the published share of this process, and the one that it should have next."""
        shares = {row["id"]: LimitShare(row["share_begin"], row["share_end"]) for row in workers}
        ids = [row["id"] for row in workers]
        current = shares.pop(self.member)
        return current, next_share(current, fair_share(ids.index(self.member), len(ids)), tuple(shares.values()))

    async def _publish_share(self, transaction: Transaction, wanted: LimitShare) -> bool:
        """Store the new share of this process; False if the members or their shares have changed meanwhile."""
        await transaction.execute("lock_members", {})
        workers = await transaction.fetch_all("list_workers", {})
        if self.member not in {row["id"] for row in workers} or wanted not in self._shares(workers):
            return False
        await transaction.execute("set_share", {"member": self.member, "begin": wanted.begin, "end": wanted.end})
        await transaction.execute("notify_members", {})
        return True

    async def _record_heartbeat(self, transaction: Transaction, report: HealthReport) -> list[Row] | None:
        """Write a heartbeat, evict dead members and return the live workers; None if this process was evicted."""
        await transaction.execute("lock_members", {})
        params = {"member": self.member, "condition": Jsonb(msgspec.to_builtins(report))}
        if await transaction.fetch_one("record_heartbeat", params) is None:
            return None
        if self._heartbeats.may_evict(asyncio.get_running_loop().time()):
            await self._evict_dead_members(transaction)
        return await transaction.fetch_all("list_workers", {})

    async def _evict_dead_members(self, transaction: Transaction) -> None:
        params = {"dead_after": self._heartbeats.dead_after, "member": self.member}
        if await transaction.fetch_all("evict_dead_members", params):
            await transaction.execute("notify_members", {})

    async def _rejoin(self, listener: ClusterListener) -> None:
        """Join again as a new member without a share: other processes may have the previous share by now."""
        fields = {"action": "self_evicted", "member": self.member}
        logger.warning("this process was considered dead and lost its membership %s", self.member, extra=fields)
        listener.set_share(NO_SHARE, -inf)
        self.member = await self._pool.write(self._join)
        logger.info(
            "this process joined the cluster again as member %s",
            self.member,
            extra={"action": "cluster_joined", "member": self.member},
        )

    async def _join(self, transaction: Transaction) -> int:
        row = await transaction.fetch_one("add_member", {"name": self._name, "role": self._role})
        assert row is not None
        await transaction.execute("notify_members", {})
        return int(row["id"])

    async def _leave(self, transaction: Transaction) -> None:
        await transaction.execute("remove_member", {"member": self.member})
        await transaction.execute("notify_members", {})

    async def _listen(self, listener: ClusterListener) -> None:
        """Receive notifications; after a reconnection the listener looks up what it may have missed."""
        disconnected = False
        while True:
            try:
                async with await AsyncConnection.connect(self._address.conninfo, autocommit=True) as connection:
                    await connection.execute(QUERIES["listen"])
                    await listener.catch_up()
                    self._members_changed.set()
                    if disconnected:
                        fields = {"action": "listen_restored", "member": self.member}
                        logger.info("receiving notifications from the other processes again", extra=fields)
                    disconnected = False
                    async for notification in connection.notifies():
                        self._handle_notification(listener, notification.payload)
            except (psycopg.Error, StoreError) as error:
                if not disconnected:
                    reason = self._address.redact(str(error))
                    fields = {"action": "listen_lost", "member": self.member}
                    logger.warning("receiving no notifications from the other processes: %s", reason, extra=fields)
                disconnected = True
            await asyncio.sleep(RETRY_DELAY)

    def _handle_notification(self, listener: ClusterListener, payload: str) -> None:
        try:
            notification = msgspec.json.decode(payload, type=_Notification)
        except msgspec.MsgspecError:  # any client may notify, and a newer version may send other messages
            logger.warning("ignored a notification that cannot be read", extra={"action": "notification_ignored"})
            return
        if notification.event == "members":
            self._members_changed.set()
        elif notification.event in CLUSTER_EVENTS:
            event: ClusterEvent = msgspec.convert(notification.event, ClusterEvent)
            listener.on_event(event, notification.batch)

    def _worker_health(self, row: Row) -> WorkerHealth:
        """Read the report of another worker; one in the format of another version counts as healthy, with a warning."""
        member = row["id"]
        try:
            report = msgspec.convert(row["condition"], HealthReport, str_keys=True)
        except msgspec.ValidationError:
            report = HEALTHY
            if member not in self._unreadable_members:
                self._unreadable_members.add(member)
                fields = {"action": "health_report_ignored", "member": member}
                logger.warning("ignored the health report of member %s, of another version", member, extra=fields)
        return WorkerHealth(name=str(member), report=report)
