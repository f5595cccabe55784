"""How the room of a worker is shared between gates, and which shards are let in when."""

from __future__ import annotations

import random

import pytest

from batchgate.engine.dispatch.admission import AdmissionBuffer, Amount, LimiterKey
from batchgate.engine.model.shard import ShardJob

DEAD, ALIVE = ("a", "dead"), ("b", "alive")


def job(shard: int, batch_key: int = 1) -> ShardJob:
    return ShardJob(priority=shard, batch_key=batch_key, shard=shard)


def park(room: AdmissionBuffer, shard: int, *limiters: LimiterKey, requests: int = 10, batch_key: int = 1) -> None:
    room.park(job(shard, batch_key), {gate: Amount(requests, requests) for gate in limiters})


def fill(room: AdmissionBuffer, gate: LimiterKey) -> int:
    taken = 0
    while room.take(gate, 1):
        taken += 1
    return taken


def test_each_gate_in_turn_has_a_third_of_what_the_others_leave() -> None:
    room = AdmissionBuffer(list[ShardJob]().extend, requests=900)
    assert [fill(room, ("a", str(number))) for number in range(4)] == [300, 200, 133, 89]


def test_a_gate_that_holds_nothing_has_room_for_one_however_full_it_is() -> None:
    room = AdmissionBuffer(list[ShardJob]().extend, requests=2)
    limiters = [("a", str(number)) for number in range(20)]
    assert [fill(room, gate) for gate in limiters] == [1] * 20


def test_a_line_larger_than_all_room_is_taken_when_it_is_alone() -> None:
    room = AdmissionBuffer(list[ShardJob]().extend)
    assert room.take(DEAD, 10**10)
    assert not room.take(DEAD, 1)
    assert room.take(ALIVE, 1)
    room.give(DEAD, 10**10)
    assert room.take(DEAD, 1)


def test_a_shard_outside_is_resumed_once_all_that_waits_of_it_fits() -> None:
    resumed: list[ShardJob] = []
    room = AdmissionBuffer(resumed.extend, requests=900)
    assert fill(room, DEAD) == 300
    park(room, 5, DEAD)
    park(room, 3, DEAD)
    for number in range(10):
        assert not resumed, number
        room.give(DEAD, 1)
    assert resumed == [job(3)], "the first by priority"
    assert not room.take(DEAD, 1), "its room is kept for it"
    room.expect(job(3))
    assert fill(room, DEAD) == 10


def test_a_gate_whose_requests_have_all_left_is_not_forgotten() -> None:
    resumed: list[ShardJob] = []
    room = AdmissionBuffer(resumed.extend, requests=900)
    for _ in range(fill(room, DEAD)):
        room.give(DEAD, 1)
    park(room, 1, DEAD, requests=10_000)
    assert resumed == [job(1)]


def test_room_that_one_gate_leaves_lets_the_shards_of_others_in() -> None:
    resumed: list[ShardJob] = []
    room = AdmissionBuffer(resumed.extend, requests=900)
    first = fill(room, ALIVE)
    fill(room, DEAD)
    park(room, 1, DEAD)
    for _ in range(first):
        room.give(ALIVE, 1)
    assert resumed == [job(1)]


def test_a_shard_that_needs_two_gates_is_let_in_by_the_one_that_moves() -> None:
    resumed: list[ShardJob] = []
    room = AdmissionBuffer(resumed.extend, requests=900)
    fill(room, DEAD)
    fill(room, ALIVE)
    park(room, 1, DEAD, ALIVE)
    for _ in range(30):
        room.give(ALIVE, 1)
    assert resumed == [job(1)]
    room.expect(job(1))
    park(room, 1, DEAD)
    for _ in range(30):
        room.give(ALIVE, 1)
    assert resumed == [job(1)]
    for _ in range(100):  # it held more than is its share by now
        room.give(DEAD, 1)
    assert resumed == [job(1), job(1)]


def test_the_shards_of_a_batch_that_is_over_are_let_in_at_once() -> None:
    resumed: list[ShardJob] = []
    room = AdmissionBuffer(resumed.extend, requests=900)
    fill(room, DEAD)
    for shard in range(3):
        park(room, shard, DEAD)
        park(room, shard, DEAD, batch_key=2)
    room.wake(2)
    assert sorted(resumed) == [job(shard, 2) for shard in range(3)]
    room.wake(1)
    assert len(resumed) == 6


def test_room_that_was_kept_for_a_shard_which_is_over_goes_to_the_next() -> None:
    # Two batches were canceled one after the other, the second while its shards were about to take their room: the
    # shards of a third one waited for ever, as nothing was held any more that could have been given back.
    resumed: list[ShardJob] = []
    room = AdmissionBuffer(resumed.extend, requests=900)
    held = fill(room, DEAD)
    for shard in range(4):
        park(room, shard, DEAD, requests=100)
    for _ in range(held):
        room.give(DEAD, 1)
    assert resumed == [job(0), job(1), job(2)]
    for over in tuple(resumed):
        room.forget(over)
    assert resumed[-1] == job(3)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_and_goes_nothing_is_counted_twice_and_no_shard_is_left_outside(seed: int) -> None:
    chance = random.Random(seed)
    queue = [job(shard) for shard in range(60)]
    needs = {one: [(("a", chance.choice("xyz")), chance.randint(1, 9)) for _ in range(40)] for one in queue}
    room = AdmissionBuffer(queue.extend, requests=100)
    held: list[tuple[LimiterKey, int]] = []
    while queue or held:
        if queue:
            one = queue.pop(chance.randrange(len(queue)))
            room.expect(one)
            taken = [need for need in needs[one] if room.take(*need)]
            held += taken
            for need in taken:
                needs[one].remove(need)
            if left := needs[one]:
                amounts: dict[LimiterKey, Amount] = {}
                for gate, size in left:
                    amounts.setdefault(gate, Amount()).add(1, size)
                room.park(one, amounts)
        for _ in range(min(len(held), chance.randint(0, 60))):
            room.give(*held.pop(chance.randrange(len(held))))
    assert not any(needs.values())
    assert [fill(room, gate) for gate in (DEAD, ALIVE)] == [33, 22]
