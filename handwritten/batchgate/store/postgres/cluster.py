"""`Peers` on PostgreSQL: a row with a heartbeat for each process, leases in a table, and NOTIFY between them.

All that depends on who lives is decided in one transaction at a time, under a lock. A row that is gone is the only sign
of a death: whoever comes back from a long pause finds that its own is gone, and joins anew.
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
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.health_report import HEALTHY, HealthReport, WorkerHealth
from batchgate.engine.model.limit_share import NO_SHARE, LimitShare, fair_share, next_share
from batchgate.engine.ports.cluster import CLUSTER_EVENTS, ClusterEvent, ClusterListener
from batchgate.engine.support.cancellation import cancel_all, shielded
from batchgate.store.postgres.address import Address
from batchgate.store.postgres.connection import QUERIES, PostgresPool, Row, Transaction

logger = logging.getLogger(__name__)

SETTLING: Final = 0.05  # seconds between two looks at calls that have to end before a share can be let go of
RETRY: Final = 1.0  # seconds until the server is tried again
CONNECTIONS: Final = 2


class _Told(Struct):
    """What is said on the channel."""

    event: str
    batch: int = 0


class PostgresCluster:
    """The processes on one database. An async context manager, entered when the schema is there.

    ``timeout`` is how many seconds it may take until somebody else has the work of a process that died.
    """

    def __init__(self, address: Address, *, name: str, role: str, timeout: float) -> None:
        self._address = address
        self._pool = PostgresPool(address, connections=CONNECTIONS)
        self._name = name
        self._role = role
        self._heartbeats = Heartbeats(timeout)
        self.member: int | None = None
        """The number of this process, while it has one."""
        self.workers = 1
        """How many processes with a worker live, as far as is known."""
        self.other_workers: tuple[WorkerHealth, ...] = ()
        """Those among them that are not this process, and how they said they are."""
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Join the others."""
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
        """Leave the others, who need not wait until this process is taken for dead."""
        with suppress(StoreError):
            await shielded(self._pool.write(self._leave))
        self.member = None
        await self._pool.close()

    async def run(self, listener: ClusterListener) -> None:
        """Keep this process among the living, and pass on what is heard of the others, until cancelled."""
        listener.set_share(NO_SHARE, -inf)
        parts = [asyncio.create_task(self._live(listener)), asyncio.create_task(self._listen(listener))]
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in ended:  # neither ends unless it fails
                part.result()
        finally:
            await cancel_all(parts)

    async def acquire_lease(self, name: str) -> bool:
        """Take or keep what only one process may have; False if another one that lives has it."""
        bound = {"name": name, "member": self.member, "dead_after": self._heartbeats.dead_after}
        if self.member is None:
            return False
        holder = await self._pool.one("holder", bound)
        if holder is not None:
            return bool(holder["member"] == self.member)
        taken = await self._pool.write(lambda transaction: transaction.one("take_lease", bound), repeatable=True)
        return taken is not None

    async def release_lease(self, name: str) -> None:
        """Let go of it, if it is held here."""
        bound = {"name": name, "member": self.member}
        await self._pool.write(lambda transaction: transaction.send("release_lease", bound), repeatable=True)

    async def _live(self, listener: ClusterListener) -> None:
        """Be seen, look who else lives, and keep to a share of what all may do."""
        while True:
            self._changed.clear()
            try:
                settled = await self._look_around(listener)
            except StoreError as error:
                listener.report_connection(error)
                await asyncio.sleep(min(RETRY, self._heartbeats.interval))
            else:
                listener.report_connection(None)
                await self._pause(self._heartbeats.interval if settled else SETTLING)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _look_around(self, listener: ClusterListener) -> bool:
        """Take one look; False if a share has to be let go of, and calls under way have to end before.

        The time until which others take this process for living is reckoned from before they are told that it does.
        """
        begun = asyncio.get_running_loop().time()
        condition = listener.health_report
        workers = await self._pool.write(lambda transaction: self._be_seen(transaction, condition), repeatable=True)
        if workers is None:
            await self._come_back(listener)
            return False
        self._heartbeats.record_beat(begun)
        self.workers = len(workers)
        self.other_workers = tuple(_worker_health(row) for row in workers if row["id"] != self.member)
        if self._role == "gateway":
            return True
        return await self._take_share(listener, workers, begun + self._heartbeats.self_evict_after)

    async def _take_share(self, listener: ClusterListener, workers: list[Row], until: float) -> bool:
        held, wanted = self._shares(workers)
        if wanted.intersection(held) == wanted:
            # Not more than before: what is less is let go of when nothing is under way any more that belongs to it.
            listener.set_share(wanted, until)
            if not listener.within_share:
                return False
        if wanted != held:
            if not await self._pool.write(lambda transaction: self._publish(transaction, wanted), repeatable=True):
                return False
            listener.set_share(wanted, until)
        return True

    def _shares(self, workers: list[Row]) -> tuple[LimitShare, LimitShare]:
        """Tell what this process has in the sight of all, and what it shall have next."""
        shares = {row["id"]: LimitShare(row["share_begin"], row["share_end"]) for row in workers}
        ids = [row["id"] for row in workers]
        held = shares.pop(self.member)
        return held, next_share(held, fair_share(ids.index(self.member), len(ids)), tuple(shares.values()))

    async def _publish(self, transaction: Transaction, wanted: LimitShare) -> bool:
        """Take a share, or let go of the rest, in the sight of all; False if something has changed meanwhile."""
        await transaction.send("lock_members", {})
        workers = await transaction.rows("living_workers", {})
        if self.member not in {row["id"] for row in workers} or wanted not in self._shares(workers):
            return False
        await transaction.send("share", {"member": self.member, "begin": wanted.begin, "end": wanted.end})
        await transaction.send("tell_members", {})
        return True

    async def _be_seen(self, transaction: Transaction, report: HealthReport) -> list[Row] | None:
        """Take the dead away, and tell which workers live; None if this process was taken for dead itself."""
        await transaction.send("lock_members", {})
        said = Jsonb(msgspec.to_builtins(report))
        if await transaction.one("seen", {"member": self.member, "condition": said}) is None:
            return None
        if self._heartbeats.may_evict(asyncio.get_running_loop().time()):
            await self._bury(transaction)
        return await transaction.rows("living_workers", {})

    async def _bury(self, transaction: Transaction) -> None:
        dead_after = self._heartbeats.dead_after
        if await transaction.rows("take_the_dead_away", {"dead_after": dead_after}):
            await transaction.send("tell_members", {})

    async def _come_back(self, listener: ClusterListener) -> None:
        """Join anew, without a share: what this process had is somebody else's by now."""
        fields = {"action": "self_evicted", "member": self.member}
        logger.warning("member %s was taken for dead", self.member, extra=fields)
        listener.set_share(NO_SHARE, -inf)
        self.member = await self._pool.write(self._join)
        logger.info("is member %s now", self.member, extra={"action": "cluster_joined", "member": self.member})

    async def _join(self, transaction: Transaction) -> int:
        row = await transaction.one("join_members", {"name": self._name, "role": self._role})
        assert row is not None
        await transaction.send("tell_members", {})
        return int(row["id"])

    async def _leave(self, transaction: Transaction) -> None:
        await transaction.send("leave_members", {"member": self.member})
        await transaction.send("tell_members", {})

    async def _listen(self, listener: ClusterListener) -> None:
        """Hear what the others say; after a connection was lost, what was said meanwhile is looked up."""
        deaf = False
        while True:
            try:
                async with await AsyncConnection.connect(self._address.conninfo, autocommit=True) as connection:
                    await connection.execute(QUERIES["listen"])
                    await listener.catch_up()
                    self._changed.set()
                    if deaf:
                        logger.info(
                            "hears the others again", extra={"action": "listen_restored", "member": self.member}
                        )
                    deaf = False
                    async for notification in connection.notifies():
                        self._hear(listener, notification.payload)
            except (psycopg.Error, StoreError) as error:
                if not deaf:
                    said = self._address.hidden(str(error))
                    fields = {"action": "listen_lost", "member": self.member}
                    logger.warning("does not hear the others: %s", said, extra=fields)
                deaf = True
            await asyncio.sleep(RETRY)

    def _hear(self, listener: ClusterListener, payload: str) -> None:
        try:
            told = msgspec.json.decode(payload, type=_Told)
        except msgspec.MsgspecError:  # anybody may notify, and a newer version may say what is not known here
            logger.warning("does not understand what was said to all", extra={"action": "listen_lost"})
            return
        if told.event == "members":
            self._changed.set()
        elif told.event in CLUSTER_EVENTS:
            event: ClusterEvent = msgspec.convert(told.event, ClusterEvent)
            listener.on_event(event, told.batch)


def _worker_health(row: Row) -> WorkerHealth:
    """Read the report of another worker; one in the format of another version counts as healthy, as it cannot be read."""
    try:
        report = msgspec.convert(row["condition"], HealthReport)
    except msgspec.ValidationError:
        report = HEALTHY
    return WorkerHealth(name=str(row["id"]), report=report)
