"""The page on translations says what the code does, as it is made from the rules that the code obeys."""

from pathlib import Path

from batchgate_codegen.translation_page import PLACE, page

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_rules_say() -> None:
    assert (ROOT / PLACE).read_text() == page(), f"{PLACE} is not what the rules say; run `nox -s generate`"
