"""Command line of the code generator: ``python -m batchgate_codegen [--check]``, run from the project's root."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from batchgate_codegen.http_pages import write_pages
from batchgate_codegen.render import render
from batchgate_codegen.spec import SpecError
from batchgate_codegen.tree import differences, replace_tree

ADVICE = (
    "generated/ does not match spec/. If you changed spec/, run `nox -s generate` and commit the result. "
    "If you edited generated/ by hand, move the change to spec/ or handwritten/, then run `nox -s generate`."
)


def main() -> int:
    """Generate, or compare only with --check; return the exit status."""
    parser = argparse.ArgumentParser(prog="batchgate_codegen", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the project's root")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if generated/ is out of date")
    arguments = parser.parse_args()
    root: Path = arguments.root.resolve()
    with tempfile.TemporaryDirectory(prefix="batchgate-codegen-") as scratch:
        fresh = Path(scratch) / "generated"
        try:
            render(root / "spec", fresh)
        except SpecError as error:
            print(f"spec: {error}", file=sys.stderr)
            return 1
        if not arguments.check:
            replace_tree(fresh, root / "generated")
            for page in ("translation_page", "providers_page"):
                _write_page_of_code(root, page)
            write_pages(root)
            return 0
        found = differences(fresh, root / "generated")
    if found:
        print(*found, ADVICE, sep="\n", file=sys.stderr)
    return 1 if found else 0


def _write_page_of_code(root: Path, page: str) -> None:
    """Render a page from the code in a new process, which imports the new generated code."""
    path = os.pathsep.join(str(root / part) for part in ("handwritten", "generated"))
    command = [sys.executable, "-m", f"batchgate_codegen.{page}", str(root)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True)


if __name__ == "__main__":
    sys.exit(main())
