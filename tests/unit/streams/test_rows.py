"""Rows are cut out of a body however it arrives."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate_streams.errors import CutShort, UnusableAnswer
from batchgate_streams.rows import Row, Rows

VALUES = st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text())))


def read(*pieces: bytes) -> list[Row]:
    rows = Rows()
    found = [row for piece in pieces for row in rows.feed(piece)]
    rows.finish()
    return found


@given(st.lists(VALUES), st.lists(st.integers(min_value=0, max_value=500)), st.booleans())
def test_rows_come_whole_wherever_the_body_is_cut(
    written: list[dict[str, Any]], cuts: list[int], ascii_only: bool
) -> None:
    body = b"".join(json.dumps(row, ensure_ascii=ascii_only).encode() + b"\n" for row in written)
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    assert read(*(body[begin:end] for begin, end in pairwise(places))) == written


def test_only_a_line_feed_ends_a_line() -> None:
    assert read(b'{"a": 1}\r\n', '{"a":"\u2028\u0085"}\n'.encode(), b'\n{"a"', b":\r2}", b"\n") == [
        {"a": 1},
        {"a": "\u2028\u0085"},
        {"a": 2},
    ]


def test_a_body_that_ends_inside_a_line_is_cut_short() -> None:
    with pytest.raises(CutShort, match="inside line 2"):
        read(b'{"a": 1}\n{"a"', b": 2}")


@pytest.mark.parametrize(
    ("line", "what"), [(b"<html>", "not JSON"), (b"[1]", "not a JSON object"), (b"\xff", "not JSON")]
)
def test_a_line_that_is_no_object_is_named(line: bytes, what: str) -> None:
    with pytest.raises(UnusableAnswer, match=f"line 2 of the results is {what}"):
        read(b"{}\n", line + b"\n")
