"""Long texts of lines are cut, however the lines are nested."""

from __future__ import annotations

import json

from batchgate.api.gateway.cut_lines import cut_line


def test_texts_and_lists_of_numbers_are_cut_anywhere_and_the_rest_is_kept() -> None:
    line = {"a": ["x" * 40, {"b": "y" * 40, "c": [1.5] * 40}], "d": ["short"] * 9, "e": None}
    cut = cut_line(json.dumps(line).encode(), 32)
    assert cut.is_cut
    expected = {"a": ["x" * 32, {"b": "y" * 32, "c": [1.5] * 2}], "d": ["short"] * 9, "e": None}
    assert json.loads(bytes(cut.json)) == expected
    fine = b'{ "a": ["short", "short", "short", "short"] }'
    assert (bytes(cut_line(fine, 32).json), cut_line(fine, 32).is_cut) == (fine, False)


def test_a_line_that_is_nested_too_deeply_for_python_is_left_out_unless_all_of_it_is_asked_for() -> None:
    line = b'{"a":%s%s}' % (b"[" * 5000, b"]" * 5000)
    assert (bytes(cut_line(line, 4000).json), cut_line(line, 4000).is_cut) == (b"{}", True)
    assert (bytes(cut_line(line, 20_000).json), cut_line(line, 20_000).is_cut) == (line, False)
