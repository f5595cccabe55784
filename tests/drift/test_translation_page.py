"""The page on translations is rendered from the rules that the code applies."""

from pathlib import Path

from batchgate_codegen.translation_page import PAGE_PATH, render_page

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_rules_say() -> None:
    assert (ROOT / PAGE_PATH).read_text() == render_page(), (
        f"{PAGE_PATH} is not what the rules say; run `nox -s generate`"
    )
