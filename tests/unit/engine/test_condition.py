"""What a gateway says of the workers that it is told of."""

from batchgate.engine.condition import Condition, Peer, problems_of, why_paused


def worker(name: str, *problems: str, **paused: str) -> Peer:
    return Peer(name=name, condition=Condition(problems=problems, paused=paused))


def test_a_problem_is_said_of_the_worker_that_has_it_and_of_several_once() -> None:
    workers = [worker("vm:1", "input: a", "queue: b"), worker("vm:2", "queue: b"), worker("vm:3")]
    assert problems_of(workers) == ("worker vm:1: input: a", "workers vm:1, vm:2: queue: b")


def test_of_many_workers_with_one_problem_three_are_named() -> None:
    workers = [worker(f"vm:{number}", "queue: b") for number in range(9)]
    assert problems_of(workers) == ("workers vm:0, vm:1, vm:2 and 6 more: queue: b",)


def test_the_first_account_that_is_paused_anywhere_says_why() -> None:
    workers = [worker("vm:1"), worker("vm:2", second="its key is rejected"), worker("vm:3", third="it is down")]
    assert why_paused(workers, ("first", "second", "third")) == "its key is rejected"
    assert why_paused(workers, ("first",)) is None
