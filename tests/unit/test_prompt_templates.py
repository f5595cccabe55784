"""Templates of prompts mean the same to the command line and to batchgate-streams."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchgate.tables.errors import TableError
from batchgate.tables.prompt_template import PromptTemplate
from batchgate_streams import UnusableRow
from batchgate_streams.prompts import PromptTemplate as StreamsTemplate
from tests.support.prompt_templates import FILLED, REFUSED, ROW

IMPLEMENTATIONS = pytest.mark.parametrize(
    "fill",
    [lambda text: PromptTemplate(text, [*ROW]).fill(ROW), lambda text: StreamsTemplate(text).fill(ROW)],
    ids=["command line", "streams"],
)


@IMPLEMENTATIONS
def test_columns_are_filled_in_and_double_braces_are_braces(fill: Callable[[str], str]) -> None:
    assert {text: fill(text) for text in FILLED} == FILLED


@IMPLEMENTATIONS
@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_a_single_brace_and_an_unknown_column_are_refused(fill: Callable[[str], str], text: str, message: str) -> None:
    with pytest.raises((TableError, ValueError, UnusableRow)) as caught:
        fill(text)
    assert message in str(caught.value)
    assert "write {{ and }} for braces, also in JSON" in str(caught.value)
