"""The page on translations is rendered from the rules that the code applies."""

from pathlib import Path

from batchgate_codegen.translation_page import PLACE, page

ROOT = Path(__file__).parents[2]


def test_the_page_is_rendered_from_the_current_rules() -> None:
    assert (ROOT / PLACE).read_text() == page(), f"{PLACE} is not what the rules say; run `nox -s generate`"
