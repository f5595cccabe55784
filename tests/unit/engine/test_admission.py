"""How limiter keys share the capacity of a worker, and which deferred shards are resumed when."""

from __future__ import annotations

import random

import pytest

from batchgate.engine.dispatch.admission import (
    CAPPED_REQUESTS,
    CAPPED_ROUNDS,
    AdmissionControl,
    CapacityKey,
    LimiterKey,
    RequestLoad,
)
from batchgate.engine.model.priority import Contender
from batchgate.engine.model.shard import QueuedShard

SLOW, FAST = ("a", "slow"), ("b", "fast")
CONTENDERS = {1: Contender(workspace="w", priority="normal"), 2: Contender(workspace="w", priority="high")}


def job(shard: int, batch_key: int = 1) -> QueuedShard:
    return QueuedShard(priority=shard, batch_key=batch_key, shard=shard)


def defer(admission: AdmissionControl, shard: int, *keys: CapacityKey, requests: int = 10, batch_key: int = 1) -> None:
    admission.defer(job(shard, batch_key), {key: RequestLoad(requests, requests) for key in keys})


def fill(admission: AdmissionControl, key: CapacityKey) -> int:
    """Admit requests of one byte as long as there is capacity, and return their number."""
    admitted = 0
    while admission.try_admit(key, 1):
        admitted += 1
    return admitted


def test_each_key_in_turn_gets_a_third_of_what_the_other_keys_leave() -> None:
    admission = AdmissionControl(list[QueuedShard]().extend, requests=900)
    assert [fill(admission, ("a", str(number))) for number in range(4)] == [300, 200, 133, 89]


def test_a_key_without_admitted_requests_may_have_one_however_little_is_free() -> None:
    admission = AdmissionControl(list[QueuedShard]().extend, requests=2)
    keys = [("a", str(number)) for number in range(20)]
    assert [fill(admission, key) for key in keys] == [1] * 20


def test_a_line_larger_than_the_capacity_is_admitted_when_it_is_the_only_one_of_its_key() -> None:
    admission = AdmissionControl(list[QueuedShard]().extend)
    assert admission.try_admit(SLOW, 10**10)
    assert not admission.try_admit(SLOW, 1)
    assert admission.try_admit(FAST, 1)
    admission.release(SLOW, 10**10)
    assert admission.try_admit(SLOW, 1)


def test_a_deferred_shard_is_resumed_once_all_its_requests_fit() -> None:
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    assert fill(admission, SLOW) == 300
    defer(admission, 5, SLOW)
    defer(admission, 3, SLOW)
    for number in range(10):
        assert not resumed, number
        admission.release(SLOW, 1)
    assert resumed == [job(3)], "the first by priority"
    assert not admission.try_admit(SLOW, 1), "the capacity is reserved for it"
    admission.use_reservation(job(3))
    assert fill(admission, SLOW) == 10


def test_a_key_whose_requests_have_all_ended_is_not_forgotten() -> None:
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    for _ in range(fill(admission, SLOW)):
        admission.release(SLOW, 1)
    defer(admission, 1, SLOW, requests=10_000)
    assert resumed == [job(1)]


def test_capacity_that_one_key_returns_resumes_the_shards_of_other_keys() -> None:
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    first = fill(admission, FAST)
    fill(admission, SLOW)
    defer(admission, 1, SLOW)
    for _ in range(first):
        admission.release(FAST, 1)
    assert resumed == [job(1)]


def test_a_shard_with_requests_of_two_keys_is_resumed_by_the_first_that_has_capacity() -> None:
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    fill(admission, SLOW)
    fill(admission, FAST)
    defer(admission, 1, SLOW, FAST)
    for _ in range(30):
        admission.release(FAST, 1)
    assert resumed == [job(1)]
    admission.use_reservation(job(1))
    defer(admission, 1, SLOW)
    for _ in range(30):
        admission.release(FAST, 1)
    assert resumed == [job(1)]
    for _ in range(100):  # it has more than its share by now
        admission.release(SLOW, 1)
    assert resumed == [job(1), job(1)]


def test_the_shards_of_a_stopped_batch_are_resumed_at_once() -> None:
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    fill(admission, SLOW)
    for shard in range(3):
        defer(admission, shard, SLOW)
        defer(admission, shard, SLOW, batch_key=2)
    admission.resume_batch(2)
    assert sorted(resumed) == [job(shard, 2) for shard in range(3)]
    admission.resume_batch(1)
    assert len(resumed) == 6


def test_capacity_reserved_for_a_stopped_shard_goes_to_the_next() -> None:
    # Two batches were canceled one after the other, the second while capacity was reserved for its shards. The shards
    # of a third one waited forever, as no admitted request was left whose end could have resumed them.
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    held = fill(admission, SLOW)
    for shard in range(4):
        defer(admission, shard, SLOW, requests=100)
    for _ in range(held):
        admission.release(SLOW, 1)
    assert resumed == [job(0), job(1), job(2)]
    for stopped in tuple(resumed):
        admission.forget(stopped)
    assert resumed[-1] == job(3)


@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_of_events_nothing_is_counted_twice_and_no_shard_stays_deferred(seed: int) -> None:
    rng = random.Random(seed)
    queue = [job(shard) for shard in range(60)]
    remaining = {one: [(("a", rng.choice("xyz")), rng.randint(1, 9)) for _ in range(40)] for one in queue}
    admission = AdmissionControl(queue.extend, requests=100)
    admitted: list[tuple[LimiterKey, int]] = []
    while queue or admitted:
        if queue:
            one = queue.pop(rng.randrange(len(queue)))
            admission.use_reservation(one)
            now_admitted = [request for request in remaining[one] if admission.try_admit(*request)]
            admitted += now_admitted
            for request in now_admitted:
                remaining[one].remove(request)
            if rest := remaining[one]:
                amounts: dict[CapacityKey, RequestLoad] = {}
                for key, size in rest:
                    amounts.setdefault(key, RequestLoad()).add(1, size)
                admission.defer(one, amounts)
        for _ in range(min(len(admitted), rng.randint(0, 60))):
            admission.release(*admitted.pop(rng.randrange(len(admitted))))
    assert not any(remaining.values())
    assert [fill(admission, key) for key in (SLOW, FAST)] == [33, 22]


def test_a_deferred_shard_of_a_raised_batch_is_resumed_although_requests_of_lower_ones_fill_the_capacity() -> None:
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    assert fill(admission, SLOW) == 300
    for shard in (1, 2):
        defer(admission, shard, SLOW, requests=400, batch_key=shard)
    assert not resumed
    admission.set_contenders(CONTENDERS)
    assert resumed == [job(2, batch_key=2)]
    admission.use_reservation(job(2, batch_key=2))
    assert fill(admission, admission.capacity_key(SLOW, 2)) == 300, "as much as the lower one has"
    assert admission.capacity_key(SLOW, 1) == admission.capacity_key(SLOW, 3) == SLOW


def test_requests_that_were_admitted_before_a_batch_was_raised_leave_no_capacity_behind() -> None:
    admission = AdmissionControl(list[QueuedShard]().extend, requests=900)
    admitted = fill(admission, SLOW)
    admission.set_contenders(CONTENDERS)
    key = admission.capacity_key(SLOW, 2)
    raised = fill(admission, key)
    admission.set_contenders({})
    for used, number in ((SLOW, admitted), (key, raised)):
        for _ in range(number):
            admission.release(used, 1)
    assert fill(admission, SLOW) == 300


def test_one_deferred_shard_of_a_lower_batch_does_not_count_and_a_second_one_does() -> None:
    # It may wait for long, and shards of the raised batch would be claimed too slowly meanwhile.
    admission = AdmissionControl(list[QueuedShard]().extend, requests=900)
    fill(admission, SLOW)
    defer(admission, 1, SLOW, requests=400, batch_key=1)
    assert not admission.none_deferred.is_set()
    admission.set_contenders(CONTENDERS)
    assert admission.none_deferred.is_set()
    defer(admission, 2, SLOW, requests=400, batch_key=1)
    assert not admission.none_deferred.is_set()


def test_a_batch_that_is_high_beside_all_workspaces_has_capacity_of_its_own_and_others_may_wait() -> None:
    admission = AdmissionControl(list[QueuedShard]().extend, requests=900)
    admission.set_contenders({2: Contender(workspace="v", priority="high", scope="gateway")})
    fill(admission, SLOW)
    assert fill(admission, admission.capacity_key(SLOW, 2)) > 0
    defer(admission, 1, SLOW, requests=400, batch_key=1)
    assert admission.none_deferred.is_set()
    defer(admission, 2, SLOW, requests=400, batch_key=1)
    assert not admission.none_deferred.is_set()


def test_a_batch_with_a_cap_has_few_requests_in_memory_and_is_resumed_when_half_of_them_have_ended() -> None:
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    admission.set_caps({1: 4})
    key = admission.capacity_key(SLOW, 1)
    bound = CAPPED_REQUESTS + CAPPED_ROUNDS * 4
    assert fill(admission, key) == bound
    assert fill(admission, SLOW) == (900 - bound) // 3, "as much as without it of the rest"
    defer(admission, 1, key, requests=400, batch_key=1)
    assert admission.none_deferred.is_set(), "shards of other batches are claimed meanwhile"
    for _ in range(bound // 2 - 1):
        admission.release(key, 1)
    assert not resumed
    admission.release(key, 1)
    assert resumed == [job(1, batch_key=1)]
    admission.use_reservation(job(1, batch_key=1))
    assert fill(admission, key) == bound // 2


def test_the_requests_of_a_deferred_shard_count_for_its_batch_when_that_gets_a_cap() -> None:
    resumed: list[QueuedShard] = []
    admission = AdmissionControl(resumed.extend, requests=900)
    fill(admission, SLOW)
    for shard in (1, 2):
        defer(admission, shard, SLOW, requests=400, batch_key=1)
    assert not admission.none_deferred.is_set()
    admission.set_caps({1: 1})
    assert resumed == [job(1, batch_key=1)]
    assert admission.none_deferred.is_set()
    for shard in (3, 4):
        defer(admission, shard, admission.capacity_key(SLOW, 1), requests=400, batch_key=1)
    assert resumed == [job(1, batch_key=1), job(2, batch_key=1)], "half of what it may have in memory, and the rest"
    assert not admission.none_deferred.is_set(), "a worker that is not alone holds one shard of it"
