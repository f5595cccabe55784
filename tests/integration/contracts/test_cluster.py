"""The contract of `Cluster`, and what only several of them can show."""

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
from batchgate.store.postgres import Address, PostgresCluster
from tests.support.databases import Database
from tests.support.postgres_server import fresh_database

PATIENCE = 10.0  # seconds
TIMEOUT = 1.5
"""Seconds within which a member that is still is taken for dead."""


@dataclass
class Ears:
    """A `ClusterListener` that remembers."""

    share: LimitShare = NO_SHARE
    heard_of: list[tuple[ClusterEvent, int]] = field(default_factory=list)
    caught_up: int = 0
    within_share: bool = True
    health_report: HealthReport = HEALTHY
    errors: list[Exception | None] = field(default_factory=list)

    def on_event(self, event: ClusterEvent, batch_key: int) -> None:
        """Remember an event."""
        self.heard_of.append((event, batch_key))

    async def catch_up(self) -> None:
        """Count."""
        self.caught_up += 1

    def set_share(self, share: LimitShare, until: float) -> None:  # noqa: ARG002
        """Remember the share."""
        self.share = share

    def report_connection(self, error: Exception | None) -> None:
        """Remember an error."""
        self.errors.append(error)


@asynccontextmanager
async def listening(cluster: Cluster, ears: ClusterListener) -> AsyncIterator[None]:
    running = asyncio.create_task(cluster.run(ears))
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def cluster(database: Database) -> AsyncIterator[Cluster]:
    if database.url is None:
        yield SingleProcess()
        return
    async with PostgresCluster(Address(database.url), name="one", role="both", timeout=TIMEOUT) as cluster:
        yield cluster


async def test_who_is_alone_has_the_whole_of_the_limits(cluster: Cluster) -> None:
    ears = Ears()
    async with listening(cluster, ears):
        await until(lambda: ears.share == FULL_SHARE)
        assert cluster.workers == 1


async def test_a_lease_is_kept_and_can_be_taken_again_when_it_was_released(cluster: Cluster) -> None:
    assert await cluster.acquire_lease("finalization/1")
    assert await cluster.acquire_lease("finalization/1")
    await cluster.release_lease("finalization/1")
    await cluster.release_lease("finalization/1")
    assert await cluster.acquire_lease("finalization/1")


class Members:
    """Processes on one database, as far as they are peers."""

    def __init__(self, url: str) -> None:
        self.url = url

    def member(self, name: str, role: str = "worker") -> PostgresCluster:
        """Make one, to be entered."""
        return PostgresCluster(Address(self.url), name=name, role=role, timeout=TIMEOUT)

    async def run(self, statement: str) -> None:
        """Do something to the database from outside."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(statement.encode())


@pytest.fixture
def members() -> Iterator[Members]:
    with fresh_database() as url:
        yield Members(url)


async def test_one_of_two_has_a_lease_and_the_other_gets_it_when_it_leaves(members: Members) -> None:
    async with members.member("a") as a:
        async with members.member("b") as b:
            assert await b.acquire_lease("sweeping")
            assert not await a.acquire_lease("sweeping")
            await a.release_lease("sweeping")
            assert not await a.acquire_lease("sweeping"), "who does not have it releases nothing"
        assert await a.acquire_lease("sweeping")


async def test_the_lease_of_one_that_is_still_for_too_long_goes_to_another(members: Members) -> None:
    async with members.member("still") as still, members.member("other") as other:
        assert await still.acquire_lease("sweeping")
        ears = Ears()
        async with listening(other, ears), asyncio.timeout(PATIENCE):
            while not await other.acquire_lease("sweeping"):
                pass
        assert not await still.acquire_lease("sweeping"), "it was taken for dead, and may do nothing as that member"


async def test_one_that_was_taken_for_dead_is_another_member_when_it_comes_back(members: Members) -> None:
    ears = Ears()
    async with members.member("one") as one, listening(one, ears):
        await until(lambda: ears.share == FULL_SHARE)
        before = one.member
        await members.run("DELETE FROM members")
        await until(lambda: one.member != before)
        await until(lambda: ears.share == FULL_SHARE)


async def test_what_the_store_says_is_heard_by_all(members: Members) -> None:
    ears = [Ears(), Ears()]
    async with (
        members.member("a") as a,
        members.member("b", "gateway") as b,
        listening(a, ears[0]),
        listening(b, ears[1]),
    ):
        await until(lambda: all(each.caught_up for each in ears))
        await members.run("""SELECT pg_notify('batchgate', '{"event": "stop_sending", "batch": 7}')""")
        await until(lambda: all(each.heard_of == [("stop_sending", 7)] for each in ears))


async def test_who_loses_its_connection_hears_again_and_looks_up_what_it_missed(members: Members) -> None:
    ears = Ears()
    async with members.member("a") as a, listening(a, ears):
        await until(lambda: ears.caught_up == 1)
        await members.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        await until(lambda: ears.caught_up == 2)
        await members.run("""SELECT pg_notify('batchgate', '{"event": "finalize", "batch": 8}')""")
        await until(lambda: ears.heard_of == [("finalize", 8)])


async def test_a_newcomer_has_nothing_until_the_others_have_let_go_of_it(members: Members) -> None:
    first, second = Ears(), Ears()
    async with members.member("a") as a, listening(a, first):
        await until(lambda: first.share == FULL_SHARE)
        first.within_share = False  # more calls are under way than a half allows
        async with members.member("b") as b, listening(b, second):
            await until(lambda: first.share == LimitShare(0.0, 0.5))
            await until(lambda: b.workers == 2)
            assert second.share == NO_SHARE
            first.within_share = True  # they have ended
            await until(lambda: second.share == LimitShare(0.5, 1.0))
        await until(lambda: first.share == FULL_SHARE)


async def test_shares_are_even_whoever_comes_and_goes_and_gateways_have_none(members: Members) -> None:
    ears = {name: Ears() for name in "abc"}
    async with members.member("gateway", "gateway") as gateway, listening(gateway, Ears()):
        async with (
            members.member("a") as a,
            members.member("b") as b,
            members.member("c") as c,
            listening(a, ears["a"]),
            listening(b, ears["b"]),
            listening(c, ears["c"]),
        ):
            await until(lambda: sorted(each.share.of(10) for each in ears.values()) == [3, 3, 4])
            await until(lambda: gateway.workers == 3)
        await until(lambda: gateway.workers == 0)


PAUSE = AccountPause(code="key_rejected", component="account/mine", since=2, reason="its key is wrong")
FAULT = HealthProblem(code="storage_error", component="input", since=1, message="No such file")
UNWELL = HealthReport(problems=(FAULT,), paused={"mine": PAUSE})


async def test_who_is_alone_is_told_of_nobody(cluster: Cluster) -> None:
    ears = Ears(health_report=UNWELL)
    async with listening(cluster, ears):
        await until(lambda: ears.share == FULL_SHARE)
        assert cluster.other_workers == ()


async def test_the_others_know_what_is_not_well_in_a_worker_until_it_is_well_again(members: Members) -> None:
    ears = Ears(health_report=UNWELL)
    async with members.member("gateway", "gateway") as gateway, listening(gateway, Ears(health_report=UNWELL)):
        async with members.member("a") as a, members.member("b") as b, listening(a, ears), listening(b, Ears()):
            others = (WorkerHealth(name=str(a.member), report=UNWELL), WorkerHealth(name=str(b.member), report=HEALTHY))
            await until(lambda: gateway.other_workers == others)
            await until(lambda: b.other_workers == others[:1])
            ears.health_report = HEALTHY
            await until(lambda: all(each.report == HEALTHY for each in gateway.other_workers))
        await until(lambda: gateway.other_workers == ())


async def test_a_worker_that_is_taken_for_dead_says_nothing_any_more(members: Members) -> None:
    async with members.member("a") as a, members.member("gateway", "gateway") as gateway, listening(gateway, Ears()):
        async with listening(a, Ears(health_report=UNWELL)):
            await until(lambda: [each.report for each in gateway.other_workers] == [UNWELL])
        await until(lambda: gateway.other_workers == ())


async def test_whatever_a_problem_says_a_heartbeat_can_carry_it(members: Members) -> None:
    strange = [f"{number}: \0 \ud800 \n é 😀 " + "x" * 1_000 for number in range(1_000)]
    problems = [structs.replace(FAULT, component=text, message=text) for text in strange]
    pause = structs.replace(PAUSE, component=strange[0], reason=strange[0])
    condition = bounded_report(problems, dict.fromkeys(map(str, range(1_000)), pause))
    ears = Ears(health_report=condition)
    async with (
        members.member("gateway", "gateway") as gateway,
        members.member("a") as a,
        listening(gateway, Ears()),
        listening(a, ears),
    ):
        await until(lambda: [each.report for each in gateway.other_workers] == [condition])
        assert len(str(condition)) < 50_000
        assert condition.problems[0].message.startswith("0:       é 😀 xxx")
        assert condition.problems[-1].message.startswith("980 more problems")
        assert not any(ears.errors)
