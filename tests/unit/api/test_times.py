"""Times of the Messages API have six digits of microseconds and end with Z."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.times import EPOCH, rfc3339, rfc3339_or_none


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (1_796_000_461_500_000, "2026-11-30T01:01:01.500000Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_written_with_all_digits(microseconds: int, text: str) -> None:
    assert rfc3339(microseconds) == text


@given(st.datetimes(min_value=EPOCH.replace(tzinfo=None)))
def test_any_time_is_written_as_strftime_writes_it(moment: datetime) -> None:
    delta = moment.replace(tzinfo=EPOCH.tzinfo) - EPOCH
    microseconds = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    assert rfc3339(microseconds) == f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def test_no_time_is_none() -> None:
    assert rfc3339_or_none(None) is None
    assert rfc3339_or_none(0) == rfc3339(0)
