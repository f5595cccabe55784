"""Compares and replaces folders of generated files."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterator
from pathlib import Path

IGNORED_FOLDERS = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache"})
DIFF_LINES = 40


def differences(expected: Path, actual: Path) -> list[str]:
    """Return how ``actual`` differs from ``expected``: missing and extra files, then changed files with a diff."""
    expected_names, actual_names = set(_files(expected)), set(_files(actual))
    found = [f"missing: generated/{name}" for name in sorted(expected_names - actual_names)]
    found += [f"extra: generated/{name}" for name in sorted(actual_names - expected_names)]
    for name in sorted(expected_names & actual_names):
        found += _file_difference(expected / name, actual / name, name)
    return found


def replace_tree(fresh: Path, target: Path) -> None:
    """Make the files of ``target`` equal to those of ``fresh``; unchanged files keep their modification times."""
    wanted = set(_files(fresh))
    for name in set(_files(target)) - wanted:
        (target / name).unlink()
    for name in wanted:
        content = (fresh / name).read_bytes()
        location = target / name
        if not location.is_file() or location.read_bytes() != content:
            location.parent.mkdir(parents=True, exist_ok=True)
            location.write_bytes(content)
    _remove_empty_folders(target)


def _files(root: Path) -> Iterator[str]:
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if path.is_file() and not IGNORED_FOLDERS.intersection(relative.parts):
            yield relative.as_posix()


def _file_difference(expected: Path, actual: Path, name: str) -> list[str]:
    if expected.read_bytes() == actual.read_bytes():
        return []
    lines = difflib.unified_diff(
        actual.read_text(errors="replace").splitlines(),
        expected.read_text(errors="replace").splitlines(),
        f"generated/{name} (current)",
        f"generated/{name} (expected from spec/)",
        lineterm="",
    )
    shown = list(lines)
    rest = [f"... and {len(shown) - DIFF_LINES} more lines"] if len(shown) > DIFF_LINES else []
    return [f"differs: generated/{name}", *shown[:DIFF_LINES], *rest]


def _remove_empty_folders(root: Path) -> None:
    for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        contents = list(folder.iterdir())
        if all(entry.name in IGNORED_FOLDERS for entry in contents):
            shutil.rmtree(folder)
