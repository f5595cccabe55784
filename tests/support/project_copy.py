"""A copy of the project in which a test breaks something and reads the output of the drift tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("spec", "generated", "handwritten", "tests", "pyproject.toml", "README.md")


class ProjectCopy:
    """A copy of all files that the drift tests read."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "copy"
        self.root.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, self.root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, self.root / part)

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file; the old text must exist."""
        path = self.root / name
        text = path.read_text()
        assert old in text, f"{name} does not contain {old!r}"
        path.write_text(text.replace(old, new))

    def generate(self) -> None:
        """Run the code generator in the copy."""
        subprocess.run(
            [sys.executable, "-m", "batchgate_codegen", "--root", str(self.root)], env=self._environment, check=True
        )

    def run_drift_tests(self, *tests: str) -> str:
        """Run drift tests in the copy, which must fail, and return their output."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"tests/drift/{test}" for test in tests]
        finished = subprocess.run(
            command, cwd=self.root, env=self._environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 1, finished.stdout + finished.stderr
        return finished.stdout

    @property
    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(str(self.root / part) for part in ("handwritten", "generated"))
        return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
