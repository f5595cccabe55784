"""Runs datamodel-code-generator several times in one process: ``python -m batchgate_codegen.model_runs FILE``.

The file holds a JSON list with the arguments of each run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datamodel_code_generator.__main__ import main


def run_all(file: Path) -> int:
    """Run the generator with each list of arguments; stop at the first that fails, and return its exit code."""
    return next((code for arguments in json.loads(file.read_text()) if (code := main(arguments))), 0)


if __name__ == "__main__":
    sys.exit(run_all(Path(sys.argv[1])))
