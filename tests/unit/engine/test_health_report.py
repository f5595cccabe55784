"""What a gateway reports of the workers of its cluster."""

from batchgate.engine.model.health_report import (
    AccountPause,
    HealthProblem,
    HealthReport,
    WorkerHealth,
    find_account_pause,
    worker_problems,
)


def problem(component: str, message: str, since: int = 5) -> HealthProblem:
    return HealthProblem(code="storage_error", component=component, since=since, message=message)


def worker(name: str, *problems: HealthProblem, **paused: str) -> WorkerHealth:
    pauses = {
        account: AccountPause(code="key_rejected", component=f"account/{account}", since=1, reason=reason)
        for account, reason in paused.items()
    }
    return WorkerHealth(name=name, report=HealthReport(problems=problems, paused=pauses))


def test_a_problem_names_its_worker_and_one_of_several_workers_is_listed_once_since_the_first() -> None:
    workers = [
        worker("1", problem("input", "a"), problem("queue", "b", 7)),
        worker("2", problem("queue", "b", 3)),
        worker("3"),
    ]
    assert worker_problems(workers) == (problem("input", "worker 1: a"), problem("queue", "workers 1, 2: b", 3))


def test_of_many_workers_with_one_problem_three_are_named() -> None:
    workers = [worker(str(number), problem("queue", "b")) for number in range(9)]
    assert worker_problems(workers) == (problem("queue", "workers 0, 1, 2 and 6 more: b"),)


def test_the_first_account_that_any_worker_has_paused_gives_the_reason() -> None:
    workers = [worker("1"), worker("2", second="its key is rejected"), worker("3", third="it is down")]
    pause = find_account_pause(workers, ("first", "second", "third"))
    assert pause is not None
    assert (pause.component, pause.reason) == ("account/second", "its key is rejected")
    assert find_account_pause(workers, ("first",)) is None
