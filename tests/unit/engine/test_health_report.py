"""What a gateway says of the workers that it is told of."""

from batchgate.engine.model.health_report import HealthReport, WorkerHealth, pause_reason, worker_problems


def worker(name: str, *problems: str, **paused: str) -> WorkerHealth:
    return WorkerHealth(name=name, report=HealthReport(problems=problems, paused=paused))


def test_a_problem_is_said_of_the_worker_that_has_it_and_of_several_once() -> None:
    workers = [worker("vm:1", "input: a", "queue: b"), worker("vm:2", "queue: b"), worker("vm:3")]
    assert worker_problems(workers) == ("worker vm:1: input: a", "workers vm:1, vm:2: queue: b")


def test_of_many_workers_with_one_problem_three_are_named() -> None:
    workers = [worker(f"vm:{number}", "queue: b") for number in range(9)]
    assert worker_problems(workers) == ("workers vm:0, vm:1, vm:2 and 6 more: queue: b",)


def test_the_first_account_that_is_paused_anywhere_says_why() -> None:
    workers = [worker("vm:1"), worker("vm:2", second="its key is rejected"), worker("vm:3", third="it is down")]
    assert pause_reason(workers, ("first", "second", "third")) == "its key is rejected"
    assert pause_reason(workers, ("first",)) is None
