"""A message that repeats without pause is logged so often in a minute and no more; then its number is told."""

import logging

import pytest

from batchgate.telemetry.repeated_records import MAX_RECORDS, PERIOD, RepeatedRecords


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def record(
    message: str = "accept failed: %s", level: int = logging.ERROR, logger: str = "asyncio"
) -> logging.LogRecord:
    return logging.LogRecord(logger, level, __file__, 1, message, ("too many open files",), None)


def passed(records: RepeatedRecords, count: int, **of: str | int) -> int:
    return sum(records.filter(record(**of)) for _ in range(count))  # type: ignore[arg-type]


def test_a_message_is_logged_a_limited_number_of_times_in_a_minute() -> None:
    clock = Clock()
    records = RepeatedRecords(clock)
    assert passed(records, 300_000) == MAX_RECORDS
    clock.now += PERIOD
    assert passed(records, 300_000) == MAX_RECORDS


def test_the_next_minute_says_how_many_were_left_out_once() -> None:
    clock = Clock()
    records = RepeatedRecords(clock)
    passed(records, MAX_RECORDS + 7)
    clock.now += PERIOD
    first, second = record(), record()
    assert records.filter(first)
    assert records.filter(second)
    assert first.getMessage() == "accept failed: too many open files (and 7 more like it, not logged)"
    assert second.getMessage() == "accept failed: too many open files"


@pytest.mark.parametrize("other", [{"message": "another: %s"}, {"logger": "batchgate"}])
def test_other_messages_are_still_logged(other: dict[str, str | int]) -> None:
    records = RepeatedRecords(Clock())
    passed(records, 2 * MAX_RECORDS)
    assert passed(records, 1, **other) == 1


def test_lines_about_requests_are_never_left_out() -> None:
    assert passed(RepeatedRecords(Clock()), 10 * MAX_RECORDS, level=logging.INFO) == 10 * MAX_RECORDS


def test_messages_of_which_each_is_different_are_limited_together() -> None:
    records = RepeatedRecords(Clock())
    assert sum(passed(records, 1, message=f"{number}: %s") for number in range(5000)) <= 1000 + MAX_RECORDS
