"""Shares of the limits: they never overlap and never exceed a limit, whenever workers join, leave and adjust."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.limit_share import FULL_SHARE, NO_SHARE, LimitShare, fair_share, next_share

Members = dict[int, LimitShare]


def next_share_of(members: Members, worker: int) -> LimitShare:
    """Return the next share of a worker, given the shares of the others."""
    ids = sorted(members)
    others = [share for name, share in members.items() if name != worker]
    return next_share(members[worker], fair_share(ids.index(worker), len(ids)), others)


def used(members: Members, limit: int) -> int:
    return sum(share.of(limit) for share in members.values())


def settle(members: Members) -> int:
    """Adjust all shares until none changes, and return the number of rounds."""
    for round_ in range(20):
        before = dict(members)
        for worker in members:
            members[worker] = next_share_of(members, worker)
        if members == before:
            return round_
    raise AssertionError(members)


@given(st.integers(1, 40), st.integers(1, 1_000))
def test_fair_shares_add_up_to_the_limit_and_differ_by_at_most_one(number: int, limit: int) -> None:
    parts = [fair_share(rank, number).of(limit) for rank in range(number)]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


def test_a_limit_of_one_belongs_to_one_worker() -> None:
    assert sorted(fair_share(rank, 3).of(1) for rank in range(3)) == [0, 0, 1]


def test_a_single_worker_takes_the_full_share_at_once() -> None:
    assert next_share(NO_SHARE, FULL_SHARE, []) == FULL_SHARE


def test_a_new_worker_waits_until_the_other_has_shrunk() -> None:
    members = {1: FULL_SHARE, 2: NO_SHARE}
    assert next_share_of(members, 2) == NO_SHARE
    members[1] = next_share_of(members, 1)
    assert members[1] == LimitShare(0.0, 0.5)
    assert next_share_of(members, 2) == LimitShare(0.5, 1.0)


def test_a_gap_between_two_shares_is_taken_although_it_is_less_than_the_fair_share() -> None:
    assert next_share(NO_SHARE, LimitShare(0.2, 0.8), [LimitShare(0.0, 0.3), LimitShare(0.6, 1.0)]) == LimitShare(
        0.3, 0.6
    )


def test_a_share_grows_around_what_is_held() -> None:
    assert next_share(LimitShare(0.4, 0.5), LimitShare(0.0, 1.0), [LimitShare(0.6, 1.0)]) == LimitShare(0.0, 0.6)


@pytest.mark.parametrize("number", [2, 3, 5, 17])
def test_many_workers_that_start_together_settle_in_a_few_rounds(number: int) -> None:
    members: Members = {1: FULL_SHARE} | dict.fromkeys(range(2, number + 1), NO_SHARE)
    assert settle(members) <= 4
    assert sorted(members.values(), key=lambda share: share.begin) == [fair_share(n, number) for n in range(number)]


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_the_limit_is_never_exceeded_and_fully_used_in_the_end(seed: int, limit: int) -> None:
    chance, members, next_name = random.Random(seed), dict[int, LimitShare](), 1
    for _ in range(60):
        step = chance.random()
        if step < 0.15 or not members:
            members[next_name] = NO_SHARE
            next_name += 1
        elif step < 0.25:
            del members[chance.choice(sorted(members))]
        else:
            worker = chance.choice(sorted(members))
            members[worker] = next_share_of(members, worker)
        assert used(members, limit) <= limit
    if members:
        settle(members)
        assert used(members, limit) == limit
