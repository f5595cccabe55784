"""The contract of `Cluster`, and the behaviour of several members."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psycopg
import pytest
from msgspec import structs

from batchgate.engine.model.health_report import (
    HEALTHY,
    AccountPause,
    HealthProblem,
    HealthReport,
    WorkerHealth,
    bounded_report,
)
from batchgate.engine.model.limit_share import FULL_SHARE, NO_SHARE, LimitShare
from batchgate.engine.ports.cluster import Cluster, ClusterEvent, ClusterListener, SingleProcess
from batchgate.store.postgres import PostgresAddress, PostgresCluster
from tests.support.databases import Database
from tests.support.postgres_server import fresh_database

TEST_TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it
TIMEOUT = 1.5
"""Seconds within which a member without heartbeats is considered dead."""


SLOW_BEATS = """
CREATE FUNCTION wait_longer_than_a_dead_member() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER UPDATE ON members FOR EACH ROW EXECUTE FUNCTION wait_longer_than_a_dead_member()
"""


@dataclass
class RecordingListener:
    """A `ClusterListener` that records every call."""

    share: LimitShare = NO_SHARE
    events: list[tuple[ClusterEvent, int]] = field(default_factory=list)
    caught_up: int = 0
    within_share: bool = True
    health_report: HealthReport = HEALTHY
    errors: list[Exception | None] = field(default_factory=list)

    def on_event(self, event: ClusterEvent, batch_key: int) -> None:
        """Record an event."""
        self.events.append((event, batch_key))

    async def catch_up(self) -> None:
        """Count the calls."""
        self.caught_up += 1

    def set_share(self, share: LimitShare, until: float) -> None:  # noqa: ARG002
        """Record the share."""
        self.share = share

    def report_connection(self, error: Exception | None) -> None:
        """Record an error."""
        self.errors.append(error)


@asynccontextmanager
async def run_listener(cluster: Cluster, listener: ClusterListener) -> AsyncIterator[None]:
    running = asyncio.create_task(cluster.run(listener))
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(report: Callable[[], bool]) -> None:
    async with asyncio.timeout(TEST_TIMEOUT):
        while True:
            if report():
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def cluster(database: Database) -> AsyncIterator[Cluster]:
    if database.url is None:
        yield SingleProcess()
        return
    async with PostgresCluster(PostgresAddress(database.url), name="one", role="both", timeout=TIMEOUT) as cluster:
        yield cluster


async def test_a_single_worker_has_the_full_share(cluster: Cluster) -> None:
    listener = RecordingListener()
    async with run_listener(cluster, listener):
        await until(lambda: listener.share == FULL_SHARE)
        assert cluster.workers == 1


async def test_a_lease_is_kept_and_can_be_acquired_again_after_its_release(cluster: Cluster) -> None:
    assert await cluster.acquire_lease("finalization/1")
    assert await cluster.acquire_lease("finalization/1")
    await cluster.release_lease("finalization/1")
    await cluster.release_lease("finalization/1")
    assert await cluster.acquire_lease("finalization/1")


class Members:
    """Creates cluster members on one database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def member(self, name: str, role: str = "worker") -> PostgresCluster:
        """Return a new member, to be entered."""
        return PostgresCluster(PostgresAddress(self.url), name=name, role=role, timeout=TIMEOUT)

    async def run(self, statement: str) -> None:
        """Run a statement on a connection of its own."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(statement.encode())

    @asynccontextmanager
    async def slow_beats(self) -> AsyncIterator[None]:
        """Make every heartbeat take longer than a member may be silent."""
        await self.run(SLOW_BEATS)
        try:
            yield
        finally:
            await self.run("DROP FUNCTION wait_longer_than_a_dead_member() CASCADE")

    async def beats(self) -> set[object]:
        """Read the times of the last heartbeats."""
        return {row[0] for row in await self._rows("SELECT seen_at FROM members")}

    async def workers(self) -> list[object]:
        """Read the ids of the members."""
        return [row[0] for row in await self._rows("SELECT id FROM members ORDER BY id")]

    async def _rows(self, query: str) -> list[tuple[object, ...]]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            return await (await connection.execute(query.encode())).fetchall()


@pytest.fixture
def members() -> Iterator[Members]:
    with fresh_database() as url:
        yield Members(url)


async def test_one_of_two_members_has_a_lease_and_the_other_gets_it_when_it_leaves(members: Members) -> None:
    async with members.member("a") as a:
        async with members.member("b") as b:
            assert await b.acquire_lease("sweeping")
            assert not await a.acquire_lease("sweeping")
            await a.release_lease("sweeping")
            assert not await a.acquire_lease("sweeping"), "a member without the lease releases nothing"
        assert await a.acquire_lease("sweeping")


async def test_the_lease_of_a_dead_member_goes_to_another(members: Members) -> None:
    async with members.member("still") as silent, members.member("other") as other:
        assert await silent.acquire_lease("sweeping")
        listener = RecordingListener()
        async with run_listener(other, listener), asyncio.timeout(TEST_TIMEOUT):
            while not await other.acquire_lease("sweeping"):
                pass
        assert not await silent.acquire_lease("sweeping"), "an evicted member gets no lease"


async def test_an_evicted_process_joins_again_as_a_new_member(members: Members) -> None:
    listener = RecordingListener()
    async with members.member("one") as one, run_listener(one, listener):
        await until(lambda: listener.share == FULL_SHARE)
        member_before = one.member
        await members.run("DELETE FROM members")
        await until(lambda: one.member != member_before)
        await until(lambda: listener.share == FULL_SHARE)


async def test_a_process_whose_own_heartbeat_takes_longer_than_the_timeout_does_not_evict_itself(
    members: Members,
) -> None:
    # A machine under load took seconds between two statements of a heartbeat: the process deleted its own row, and its
    # membership crashed.
    listener = RecordingListener()
    async with members.member("one") as one, run_listener(one, listener):
        await until(lambda: listener.share == FULL_SHARE)
        member = one.member
        async with members.slow_beats():
            beats = await members.beats()
            async with asyncio.timeout(TEST_TIMEOUT):
                while len(beats) < 3:
                    beats |= await members.beats()
            assert one.member == member
            assert await members.workers() == [member]


async def test_every_member_receives_the_notifications_of_the_store(members: Members) -> None:
    listener = [RecordingListener(), RecordingListener()]
    async with (
        members.member("a") as a,
        members.member("b", "gateway") as b,
        run_listener(a, listener[0]),
        run_listener(b, listener[1]),
    ):
        await until(lambda: all(recorder.caught_up for recorder in listener))
        await members.run("""SELECT pg_notify('batchgate', '{"event": "stop_sending", "batch": 7}')""")
        await until(lambda: all(recorder.events == [("stop_sending", 7)] for recorder in listener))


async def test_a_member_that_loses_its_connection_reconnects_and_catches_up(members: Members) -> None:
    listener = RecordingListener()
    async with members.member("a") as a, run_listener(a, listener):
        await until(lambda: listener.caught_up == 1)
        await members.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        await until(lambda: listener.caught_up == 2)
        await members.run("""SELECT pg_notify('batchgate', '{"event": "finalize", "batch": 8}')""")
        await until(lambda: listener.events == [("finalize", 8)])


async def test_a_new_member_has_no_share_until_the_others_have_released_it(members: Members) -> None:
    first, second = RecordingListener(), RecordingListener()
    async with members.member("a") as a, run_listener(a, first):
        await until(lambda: first.share == FULL_SHARE)
        first.within_share = False  # more calls are in flight than half of the limits allows
        async with members.member("b") as b, run_listener(b, second):
            await until(lambda: first.share == LimitShare(0.0, 0.5))
            await until(lambda: b.workers == 2)
            assert second.share == NO_SHARE
            first.within_share = True  # the calls have ended
            await until(lambda: second.share == LimitShare(0.5, 1.0))
        await until(lambda: first.share == FULL_SHARE)


async def test_workers_have_even_shares_and_gateways_have_none(members: Members) -> None:
    listener = {name: RecordingListener() for name in "abc"}
    async with members.member("gateway", "gateway") as gateway, run_listener(gateway, RecordingListener()):
        async with (
            members.member("a") as a,
            members.member("b") as b,
            members.member("c") as c,
            run_listener(a, listener["a"]),
            run_listener(b, listener["b"]),
            run_listener(c, listener["c"]),
        ):
            await until(lambda: sorted(recorder.share.of(10) for recorder in listener.values()) == [3, 3, 4])
            await until(lambda: gateway.workers == 3)
        await until(lambda: gateway.workers == 0)


PAUSE = AccountPause(code="key_rejected", component="account/mine", since=2, reason="its key is wrong")
FAULT = HealthProblem(code="storage_error", component="input", since=1, message="No such file")
UNHEALTHY = HealthReport(problems=(FAULT,), paused={"mine": PAUSE})


async def test_a_single_process_has_no_other_workers(cluster: Cluster) -> None:
    listener = RecordingListener(health_report=UNHEALTHY)
    async with run_listener(cluster, listener):
        await until(lambda: listener.share == FULL_SHARE)
        assert cluster.other_workers == ()


async def test_the_problems_of_a_worker_are_visible_to_others_until_they_are_solved(members: Members) -> None:
    listener = RecordingListener(health_report=UNHEALTHY)
    async with (
        members.member("gateway", "gateway") as gateway,
        run_listener(gateway, RecordingListener(health_report=UNHEALTHY)),
    ):
        async with (
            members.member("a") as a,
            members.member("b") as b,
            run_listener(a, listener),
            run_listener(b, RecordingListener()),
        ):
            others = (
                WorkerHealth(name=str(a.member), report=UNHEALTHY),
                WorkerHealth(name=str(b.member), report=HEALTHY),
            )
            await until(lambda: gateway.other_workers == others)
            await until(lambda: b.other_workers == others[:1])
            listener.health_report = HEALTHY
            await until(lambda: all(recorder.report == HEALTHY for recorder in gateway.other_workers))
        await until(lambda: gateway.other_workers == ())


async def test_the_problems_of_an_evicted_worker_disappear(members: Members) -> None:
    async with (
        members.member("a") as a,
        members.member("gateway", "gateway") as gateway,
        run_listener(gateway, RecordingListener()),
    ):
        async with run_listener(a, RecordingListener(health_report=UNHEALTHY)):
            await until(lambda: [recorder.report for recorder in gateway.other_workers] == [UNHEALTHY])
        await until(lambda: gateway.other_workers == ())


async def test_a_heartbeat_can_carry_any_problem(members: Members) -> None:
    texts = [f"{number}: \0 \ud800 \n é 😀 " + "x" * 1_000 for number in range(1_000)]
    problems = [structs.replace(FAULT, component=text, message=text) for text in texts]
    pause = structs.replace(PAUSE, component=texts[0], reason=texts[0])
    report = bounded_report(problems, dict.fromkeys(map(str, range(1_000)), pause))
    listener = RecordingListener(health_report=report)
    async with (
        members.member("gateway", "gateway") as gateway,
        members.member("a") as a,
        run_listener(gateway, RecordingListener()),
        run_listener(a, listener),
    ):
        await until(lambda: [recorder.report for recorder in gateway.other_workers] == [report])
        assert len(str(report)) < 50_000
        assert report.problems[0].message.startswith("0:       é 😀 xxx")
        assert report.problems[-1].message.startswith("980 more problems")
        assert not any(listener.errors)
