"""The control law of the limiter on its own: what it learns from each way in which a call can end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.dispatch.limits.adaptive_limit import LONGEST_PATIENCE, LOSS, MEMORY, AdaptiveLimit


def after_a_burst(cap: int = 64, taken: int = 4) -> AdaptiveLimit:
    """Make a limit whose first burst met a provider that took so many of its calls."""
    limit = AdaptiveLimit(cap)
    for in_service in range(cap - 1, taken - 1, -1):
        limit.refused(entered=0.0, in_service=in_service, now=0.1)
    return limit


def serve(limit: AdaptiveLimit, calls: int, now: float = 1.0) -> None:
    """Serve calls at the full limit, one after the other."""
    for _ in range(calls):
        limit.served(int(limit.value), int(limit.value), now)


def successes_until(limit: AdaptiveLimit, value: int, now: float = 1.0) -> int:
    for number in range(100_000):
        if limit.value >= value:
            return number
        serve(limit, 1, now)
    raise AssertionError(f"it stays at {limit.value}")


def test_a_new_limit_stands_at_the_cap() -> None:
    assert AdaptiveLimit(64).value == 64


def test_one_burst_of_refusals_cuts_to_what_the_provider_took_of_it() -> None:
    assert after_a_burst(taken=4).value == 4
    assert after_a_burst(taken=60).value == 60


def test_a_limit_never_falls_below_one() -> None:
    assert after_a_burst(taken=0).value == 1


def test_one_round_of_success_tries_one_place_more_after_the_first_burst() -> None:
    assert successes_until(after_a_burst(taken=4), 5) in {4, 5}


def test_each_refused_try_makes_the_next_one_twice_as_rare() -> None:
    limit = after_a_burst(taken=4)
    needed = []
    for time in range(1, 10):
        needed.append(successes_until(limit, 5, now=float(time)))
        limit.refused(entered=time + 0.1, in_service=4, now=time + 0.2)
    assert needed == sorted(needed)
    assert needed[3] > 7 * needed[0]
    assert needed[-1] <= 5 * LONGEST_PATIENCE


def test_growth_is_quick_once_calls_are_served_beyond_the_last_refusal() -> None:
    limit = after_a_burst(taken=4)
    for _ in range(6):
        limit.refused(entered=1.0, in_service=4, now=1.1)
    successes_until(limit, 5)
    assert successes_until(limit, 64) < 80


def test_what_was_learnt_is_forgotten_after_a_while() -> None:
    limit = after_a_burst(taken=4)
    for time in range(1, 8):
        limit.refused(entered=time + 0.1, in_service=4, now=time + 0.2)
    assert successes_until(limit, 8, now=8.0 + MEMORY) <= 4


def test_calls_without_an_answer_cut_once_for_all_that_were_under_way() -> None:
    limit = AdaptiveLimit(100)
    for _ in range(100):
        limit.lost(entered=0.0, now=600.0)
    assert limit.value == 100 * LOSS
    limit.lost(entered=601.0, now=1200.0)
    assert limit.value == 100 * LOSS * LOSS


def test_a_success_at_the_cap_changes_nothing() -> None:
    limit = AdaptiveLimit(8)
    serve(limit, 100)
    assert limit.value == 8


def test_refusals_whatever_the_load_do_not_hold_the_limit_down_while_most_calls_are_served() -> None:
    limit = AdaptiveLimit(64)
    serve(limit, 200)
    for time in range(2, 500):
        limit.refused(entered=time, in_service=int(limit.value) - 1, now=time + 0.5)
        serve(limit, 9, now=time + 0.6)
    assert limit.value > 40


EVENTS = st.lists(
    st.tuples(st.sampled_from(["served", "refused", "lost", "shut", "one_more"]), st.integers(0, 70)), max_size=200
)


@given(cap=st.integers(1, 64), events=EVENTS)
def test_whatever_happens_the_limit_stays_between_one_and_the_cap(cap: int, events: list[tuple[str, int]]) -> None:
    limit = AdaptiveLimit(cap)
    for now, (event, calls) in enumerate(events):
        match event:
            case "served":
                limit.served(calls + 1, calls + 1, now)
            case "refused":
                limit.refused(now - calls, calls, now)
            case "lost":
                limit.lost(now - calls, now)
            case "shut":
                limit.shut()
            case _:
                limit.one_more(calls)
        assert 1 <= limit.value <= cap


def test_under_a_lower_cap_there_is_less_and_under_the_old_one_again_as_much_as_before() -> None:
    limit = AdaptiveLimit(64)
    limit.bound(10)
    assert limit.value == 10
    limit.bound(64)
    assert limit.value == 64


def test_what_was_learnt_under_one_cap_holds_under_another() -> None:
    limit = after_a_burst(cap=64, taken=20)
    limit.bound(10)
    assert limit.value == 10
    limit.bound(64)
    assert limit.value == 20
    limit.bound(32)
    limit.lost(entered=5.0, now=6.0)
    limit.bound(64)
    assert limit.value == 20 * LOSS


def test_under_a_cap_of_nothing_there_are_none_whatever_is_learnt() -> None:
    limit = AdaptiveLimit(4)
    limit.bound(0)
    limit.refused(entered=0.0, in_service=2, now=0.1)
    limit.one_more(0)
    limit.served(1, 1, 1.0)
    limit.shut()
    assert limit.value == 0
    limit.bound(4)
    assert limit.value >= 1
