"""The control law of the limiter: what the limit learns from each outcome of a call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.dispatch.limits.adaptive_limit import MAX_ROUNDS, MEMORY, NO_ANSWER_FACTOR, AdaptiveLimit


def after_a_burst(cap: int = 64, accepted: int = 4) -> AdaptiveLimit:
    """Make a limit after a first burst of calls, of which the provider accepted ``accepted``."""
    limit = AdaptiveLimit(cap)
    for in_service in range(cap - 1, accepted - 1, -1):
        limit.record_refusal(load=cap, started_at=0.0, in_service=in_service, now=0.1)
    return limit


def serve(limit: AdaptiveLimit, calls: int, now: float = 1.0) -> None:
    """Serve calls at the full limit, one after the other."""
    for _ in range(calls):
        limit.record_success(int(limit.value), now, now)


def successes_until(limit: AdaptiveLimit, value: int, now: float = 1.0) -> int:
    for number in range(100_000):
        if limit.value >= value:
            return number
        serve(limit, 1, now)
    raise AssertionError(f"the limit stays at {limit.value}")


def test_a_new_limit_is_the_cap() -> None:
    assert AdaptiveLimit(64).value == 64


def test_a_burst_of_refusals_reduces_the_limit_to_what_the_provider_accepted_of_it() -> None:
    assert after_a_burst(accepted=4).value == 4
    assert after_a_burst(accepted=60).value == 60


def test_a_limit_never_falls_below_one() -> None:
    assert after_a_burst(accepted=0).value == 1


def test_after_the_first_burst_one_round_of_success_raises_the_limit_by_one() -> None:
    assert successes_until(after_a_burst(accepted=4), 5) in {4, 5}


def test_each_refused_increase_doubles_the_successes_before_the_next_one() -> None:
    limit = after_a_burst(accepted=4)
    needed = []
    for time in range(1, 10):
        needed.append(successes_until(limit, 5, now=float(time)))
        limit.record_refusal(load=5, started_at=time + 0.1, in_service=4, now=time + 0.2)
    assert needed == sorted(needed)
    assert needed[3] > 7 * needed[0]
    assert needed[-1] <= 5 * MAX_ROUNDS


def test_the_limit_increases_quickly_once_calls_are_served_at_the_load_of_the_last_refusal() -> None:
    limit = after_a_burst(accepted=4)
    for _ in range(6):
        limit.record_refusal(load=5, started_at=1.0, in_service=4, now=1.1)
    successes_until(limit, 5)
    assert successes_until(limit, 64) < 80


def test_after_a_while_without_a_reduction_the_limit_increases_quickly() -> None:
    limit = after_a_burst(accepted=4)
    for time in range(1, 8):
        limit.record_refusal(load=5, started_at=time + 0.1, in_service=4, now=time + 0.2)
    assert successes_until(limit, 8, now=8.0 + MEMORY) <= 4


def test_calls_without_an_answer_reduce_the_limit_once_for_all_that_were_in_flight() -> None:
    limit = AdaptiveLimit(100)
    for _ in range(100):
        limit.record_no_answer(started_at=0.0, now=600.0)
    assert limit.value == 100 * NO_ANSWER_FACTOR
    limit.record_no_answer(started_at=601.0, now=1200.0)
    assert limit.value == 100 * NO_ANSWER_FACTOR * NO_ANSWER_FACTOR


def test_a_success_at_the_cap_changes_nothing() -> None:
    limit = AdaptiveLimit(8)
    serve(limit, 100)
    assert limit.value == 8


def test_refusals_at_any_load_do_not_hold_the_limit_down_while_most_calls_are_served() -> None:
    limit = AdaptiveLimit(64)
    serve(limit, 200)
    for time in range(2, 500):
        limit.record_refusal(int(limit.value), started_at=time, in_service=int(limit.value) - 1, now=time + 0.5)
        serve(limit, 9, now=time + 0.6)
    assert limit.value > 40


def test_few_refusals_are_no_evidence_however_few_calls_are_in_flight() -> None:
    limit = AdaptiveLimit(64)
    limit.record_refusal(load=1, started_at=0.0, in_service=0, now=0.1)
    limit.record_refusal(load=2, started_at=1.0, in_service=1, now=1.1)
    assert limit.value == 64


def test_refusals_at_loads_that_are_served_most_of_the_time_change_nothing() -> None:
    limit = AdaptiveLimit(64)
    for time in range(1, 50):
        for _ in range(3):
            limit.record_success(load=2, started_at=time, now=time)
        limit.record_refusal(load=2, started_at=time, in_service=1, now=time)
    assert limit.value == 64


def test_the_limit_is_restored_when_most_calls_of_a_burst_are_served_in_the_end() -> None:
    limit = AdaptiveLimit(64)
    for in_service in (18, 17, 16, 15):
        limit.record_refusal(load=3, started_at=0.0, in_service=in_service, now=0.1)
    assert limit.value == 15
    for load in range(4, 20):
        limit.record_success(load, started_at=0.0, now=0.5)
    assert limit.value == 64


EVENTS = st.lists(
    st.tuples(st.sampled_from(["success", "refusal", "no_answer", "reset", "allow_one_more"]), st.integers(0, 70)),
    max_size=200,
)


@given(cap=st.integers(1, 64), events=EVENTS)
def test_the_limit_always_stays_between_one_and_the_cap(cap: int, events: list[tuple[str, int]]) -> None:
    limit = AdaptiveLimit(cap)
    for now, (event, calls) in enumerate(events):
        match event:
            case "success":
                limit.record_success(calls + 1, now - calls, now)
            case "refusal":
                limit.record_refusal(calls + 1, now - calls, calls, now)
            case "no_answer":
                limit.record_no_answer(now - calls, now)
            case "reset":
                limit.reset()
            case _:
                limit.allow_one_more(calls)
        assert 1 <= limit.value <= cap


def test_the_limit_follows_the_cap_down_and_up_again() -> None:
    limit = AdaptiveLimit(64)
    limit.set_cap(10)
    assert limit.value == 10
    limit.set_cap(64)
    assert limit.value == 64


def test_what_was_learned_under_one_cap_holds_under_another() -> None:
    limit = after_a_burst(cap=64, accepted=20)
    limit.set_cap(10)
    assert limit.value == 10
    limit.set_cap(64)
    assert limit.value == 20
    limit.set_cap(32)
    limit.record_no_answer(started_at=5.0, now=6.0)
    limit.set_cap(64)
    assert limit.value == 20 * NO_ANSWER_FACTOR


def test_under_a_cap_of_zero_the_limit_is_zero_whatever_is_learned() -> None:
    limit = AdaptiveLimit(4)
    limit.set_cap(0)
    limit.record_refusal(3, started_at=0.0, in_service=2, now=0.1)
    limit.allow_one_more(0)
    limit.record_success(1, 1.0, 1.0)
    limit.reset()
    assert limit.value == 0
    limit.set_cap(4)
    assert limit.value >= 1
