"""The core installs small: heavy packages are extras, and its own files stay within a bound."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = (ROOT / "handwritten" / "batchgate", ROOT / "generated" / "batchgate_api")
DEPENDENCIES: Final = {
    *("aiohappyeyeballs", "aiohttp", "backports.zstd", "click", "httptools", "msgspec", "multipart", "obstore"),
    *("prometheus_client", "rich", "standardwebhooks", "yarl", "yoyo-migrations"),
}
SUFFIXES: Final = (".py", ".sql", ".json")
LARGEST: Final = 4_900_000
"""Bytes without bytecode: 2.1 MB more than the core had with the batch APIs of OpenAI and Anthropic alone."""


def test_the_core_depends_on_these_packages_and_on_no_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {re.split(r"[ ;<>=]", requirement)[0] for requirement in project["dependencies"]} == DEPENDENCIES


def test_the_files_of_the_core_stay_within_their_bound() -> None:
    paths = [path for package in PACKAGES for path in package.rglob("*") if path.suffix in SUFFIXES]
    kept = [path for path in paths if "/." not in str(path.relative_to(ROOT))]  # the caches of tools are hidden
    assert sum(path.stat().st_size for path in kept) <= LARGEST
