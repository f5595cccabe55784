"""Parts of the limits: they never overlap and never add up to too much, whoever comes, goes and moves when."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.limit_share import FULL_SHARE, NO_SHARE, LimitShare, fair_share, next_share

Members = dict[int, LimitShare]


def look(members: Members, who: int) -> LimitShare:
    """Tell what one wants next, as it sees the others."""
    ids = sorted(members)
    others = [share for name, share in members.items() if name != who]
    return next_share(members[who], fair_share(ids.index(who), len(ids)), others)


def used(members: Members, limit: int) -> int:
    return sum(share.of(limit) for share in members.values())


def settle(members: Members) -> int:
    """Let all move until nobody wants to, and tell how many rounds that took."""
    for round_ in range(20):
        before = dict(members)
        for who in members:
            members[who] = look(members, who)
        if members == before:
            return round_
    raise AssertionError(members)


@given(st.integers(1, 40), st.integers(1, 1_000))
def test_fair_parts_together_are_exactly_the_limit_and_differ_by_one_at_the_most(number: int, limit: int) -> None:
    parts = [fair_share(rank, number).of(limit) for rank in range(number)]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


def test_of_a_limit_of_one_one_worker_has_it() -> None:
    assert sorted(fair_share(rank, 3).of(1) for rank in range(3)) == [0, 0, 1]


def test_who_is_alone_takes_all_at_once() -> None:
    assert next_share(NO_SHARE, FULL_SHARE, []) == FULL_SHARE


def test_a_newcomer_waits_until_the_other_has_let_go() -> None:
    members = {1: FULL_SHARE, 2: NO_SHARE}
    assert look(members, 2) == NO_SHARE
    members[1] = look(members, 1)
    assert members[1] == LimitShare(0.0, 0.5)
    assert look(members, 2) == LimitShare(0.5, 1.0)


def test_what_is_free_between_two_others_is_taken_although_it_is_not_all_of_the_fair_part() -> None:
    assert next_share(NO_SHARE, LimitShare(0.2, 0.8), [LimitShare(0.0, 0.3), LimitShare(0.6, 1.0)]) == LimitShare(
        0.3, 0.6
    )


def test_who_has_a_piece_grows_around_it() -> None:
    assert next_share(LimitShare(0.4, 0.5), LimitShare(0.0, 1.0), [LimitShare(0.6, 1.0)]) == LimitShare(0.0, 0.6)


@pytest.mark.parametrize("number", [2, 3, 5, 17])
def test_a_crowd_that_starts_at_once_settles_in_a_few_rounds(number: int) -> None:
    members: Members = {1: FULL_SHARE} | dict.fromkeys(range(2, number + 1), NO_SHARE)
    assert settle(members) <= 4
    assert sorted(members.values(), key=lambda share: share.begin) == [fair_share(n, number) for n in range(number)]


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_the_limit_holds_at_every_moment_and_all_of_it_is_used_in_the_end(seed: int, limit: int) -> None:
    chance, members, next_name = random.Random(seed), dict[int, LimitShare](), 1
    for _ in range(60):
        step = chance.random()
        if step < 0.15 or not members:
            members[next_name] = NO_SHARE
            next_name += 1
        elif step < 0.25:
            del members[chance.choice(sorted(members))]
        else:
            who = chance.choice(sorted(members))
            members[who] = look(members, who)
        assert used(members, limit) <= limit
    if members:
        settle(members)
        assert used(members, limit) == limit
