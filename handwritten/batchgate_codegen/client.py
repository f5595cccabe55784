"""Generates the client distribution with openapi-python-client from the bundled document."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from batchgate_codegen.spec import Document, bundle, without_unused_components
from batchgate_codegen.tools import run_tool

TEMPLATES = Path(__file__).parent / "templates" / "client"
CONFIGURATION = {
    "project_name_override": "batchgate-client",
    "package_name_override": "batchgate_client",
    "package_version_override": "0.1.0",
    "literal_enums": True,
    "content_type_overrides": {
        "application/x-jsonl": "application/octet-stream",
        "text/event-stream": "application/octet-stream",
    },
    "post_hooks": [],
}
CONSTANT_BOUNDARY = '    headers["Content-Type"] = "multipart/form-data; boundary=+++"\n'
"""A header that the generator writes. A file with this boundary would be truncated; httpx2 makes a random boundary."""
HTTPX: Final = re.compile(r"\bhttpx\b")
"""The HTTP package that the generator writes for; httpx2, which the official SDKs use, has the same names."""


def write_client(documents: tuple[Document, ...], target: Path, scratch: Path) -> None:
    """Write the distribution ``batchgate-client`` to the folder ``target``, which must not exist yet."""
    document = scratch / "bundle.json"
    document.write_text(json.dumps(without_unused_components(bundle(documents))))
    configuration = scratch / "client.json"
    configuration.write_text(json.dumps(CONFIGURATION))
    run_tool(
        "openapi_python_client",
        "generate",
        f"--path={document}",
        f"--config={configuration}",
        f"--output-path={target}",
        f"--custom-template-path={TEMPLATES}",
        "--meta=uv",
        "--fail-on-warning",
        cwd=scratch,
    )
    for path in target.rglob("*.py"):
        path.write_text(HTTPX.sub("httpx2", path.read_text().replace(CONSTANT_BOUNDARY, "")))
