"""generated/ is byte for byte what the generation renders from spec/."""

import shutil
from pathlib import Path

import pytest

from batchgate_codegen.__main__ import ADVICE
from batchgate_codegen.render import render
from batchgate_codegen.tree import differences

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render the spec of this checkout once for all tests of the module."""
    target = tmp_path_factory.mktemp("rendered") / "generated"
    render(ROOT / "spec", target)
    return target


def test_generated_code_matches_the_spec(rendered: Path) -> None:
    assert not (found := differences(rendered, ROOT / "generated")), "\n".join([*found, ADVICE])


def test_generation_renders_the_same_bytes_in_any_folder_and_on_every_run(rendered: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "a folder" / "deeper"
    hostile.mkdir(parents=True)
    (tmp_path / "a folder" / "pyproject.toml").write_text(
        "[tool.ruff]\nline-length = 40\n[tool.black]\nline-length = 40\n"
        "[tool.datamodel-codegen]\nuse-annotated = false\n"
    )
    shutil.copytree(ROOT / "spec", hostile / "spec")
    render(hostile / "spec", hostile / "second")
    assert differences(rendered, hostile / "second") == []
