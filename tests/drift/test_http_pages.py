"""The pages on HTTP operations are what spec/ and its examples say."""

import shutil
from pathlib import Path

import pytest

from batchgate_api.operations import OPERATIONS
from batchgate_api.structs import Operation
from batchgate_codegen.http_pages import FOLDER, pages

ROOT = Path(__file__).parents[2]
WRITTEN = {path.name: path.read_text() for path in (ROOT / FOLDER).glob("*.md")}


def test_the_pages_are_what_the_spec_says() -> None:
    rendered = pages(ROOT / "spec")
    assert sorted(WRITTEN) == sorted(rendered), f"{FOLDER} has other pages than spec/ has tags; run `nox -s generate`"
    stale = [name for name, text in rendered.items() if WRITTEN[name] != text]
    assert not stale, f"{FOLDER}/{stale[0]} is not what spec/ says; run `nox -s generate`"


@pytest.mark.parametrize(
    ("name", "old", "new", "page"),
    [
        ("anthropic.yaml", "Create a batch of Messages requests.", "Create another thing.", "message-batches.md"),
        ("examples/CreateKey/reader.json", "dashboard", "another name", "api-keys.md"),
    ],
)
def test_a_change_of_the_spec_or_of_an_example_is_seen(
    tmp_path: Path, name: str, old: str, new: str, page: str
) -> None:
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    changed = tmp_path / "spec" / name
    text = changed.read_text()
    assert old in text
    changed.write_text(text.replace(old, new))
    assert new in pages(tmp_path / "spec")[page]
    assert new not in WRITTEN[page]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_an_operation_has_a_section_with_an_example(operation: Operation) -> None:
    heading = f"\n## {operation.id}\n\n`{operation.method} {operation.paths[0]}`"
    (page,) = (text for text in WRITTEN.values() if heading in text)
    section = page.split(heading, 1)[1].split("\n## ", 1)[0]
    assert "\n```sh\ncurl " in section, f"{operation.id} has no example"
