"""Templates of prompts, and values as text."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from batchgate_streams import UnusableRow
from batchgate_streams.prompts import PromptTemplate, text_of


class NumpyNumber:
    """A number that JSON does not know."""

    def item(self) -> int:
        """Return the number, as the scalars of numpy do."""
        return 7


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("{a} as it is\n", "{a} as it is\n"),
        (None, ""),
        (float("nan"), ""),
        (1.5, "1.5"),
        (True, "true"),
        (date(2026, 11, 30), "2026-11-30"),
        (NumpyNumber(), "7"),
        (Decimal("0.10"), "0.10"),
        ({"é": [1, None]}, '{"é": [1, null]}'),
    ],
)
def test_a_value_becomes_text(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_an_unknown_column_is_refused_with_the_nearest_and_the_first_columns() -> None:
    message = r"no column 'colum_1'; perhaps 'column_1'; the columns are column_0, .*column_19, \.\.\.;"
    with pytest.raises(UnusableRow, match=message):
        PromptTemplate("{colum_1}").fill({f"column_{number}": number for number in range(100)})
