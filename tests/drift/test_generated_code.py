"""generated/ is what spec/ says, to the byte."""

import shutil
from pathlib import Path

from batchgate_codegen.__main__ import ADVICE
from batchgate_codegen.render import render
from batchgate_codegen.tree import differences

ROOT = Path(__file__).parents[2]


def test_generated_code_is_what_the_spec_says(tmp_path: Path) -> None:
    render(ROOT / "spec", tmp_path / "generated")
    assert not (found := differences(tmp_path / "generated", ROOT / "generated")), "\n".join([*found, ADVICE])


def test_generation_is_the_same_in_any_folder_and_on_every_run(tmp_path: Path) -> None:
    hostile = tmp_path / "a folder" / "deeper"
    hostile.mkdir(parents=True)
    (tmp_path / "a folder" / "pyproject.toml").write_text(
        "[tool.ruff]\nline-length = 40\n[tool.black]\nline-length = 40\n"
        "[tool.datamodel-codegen]\nuse-annotated = false\n"
    )
    shutil.copytree(ROOT / "spec", hostile / "spec")
    render(ROOT / "spec", tmp_path / "first")
    render(hostile / "spec", hostile / "second")
    assert differences(tmp_path / "first", hostile / "second") == []
