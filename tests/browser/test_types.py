"""The types of the dashboard: whatever it sends and reads is what the API's document has."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

import batchgate
from tests.browser.packages import FOLDER, run_command

DASHBOARD: Final = Path(batchgate.__file__).parent / "dashboard"
DOCUMENT: Final = FOLDER.parents[1] / "generated/batchgate_api/openapi.json"
EVENTS: Final = "text/event-stream"
pytestmark = pytest.mark.timeout(300)


def events_as_schemas(document: dict[str, Any]) -> None:
    """Describe the events of streams, which OpenAPI cannot, as fields of an object."""
    for path in document["paths"].values():
        content = path.get("get", {"responses": {}})["responses"].get("200", {}).get("content", {})
        if events := content.get(EVENTS, {}).get("x-events"):
            content[EVENTS]["schema"] = {"type": "object", "properties": events, "required": [*events]}


def rename(document: dict[str, Any], *keys: str) -> None:
    """Give another name to what the keys lead to."""
    *outer, last = keys
    for key in outer:
        document = document[key]
    document["renamed"] = document.pop(last)


def rename_parameter(document: dict[str, Any], path: str, name: str) -> None:
    """Give another name to a parameter of a path's GET."""
    references = [each.get("$ref", "").rpartition("/")[2] for each in document["paths"][path]["get"]["parameters"]]
    shared = document["components"]["parameters"]
    (found,) = (shared[each] for each in references if each and shared[each]["name"] == name)
    found["name"] = "renamed"


def type_errors(packages: Path, name: str, document: dict[str, Any]) -> str:
    """Make types of a document, check the dashboard with them, and return what is wrong."""
    folder, tools = packages / name, packages / "node_modules"
    shutil.copytree(DASHBOARD, folder / "dashboard")
    shutil.copy(FOLDER / "tsconfig.json", folder)
    (folder / "openapi.json").write_text(json.dumps(document))
    make = ("node", f"{tools}/openapi-typescript/bin/cli.js", "openapi.json", "--output", "openapi.d.ts")
    made = run_command(make, folder)
    assert made.returncode == 0, made.stderr
    checked = run_command(("node", f"{tools}/typescript-7/bin/tsc", "--pretty", "false"), folder)
    assert (checked.returncode == 0) == (not checked.stdout), checked.stderr
    return checked.stdout


def test_the_dashboard_fits_the_document_and_does_not_fit_one_with_other_names(packages: Path) -> None:
    document = json.loads(DOCUMENT.read_text())
    events_as_schemas(document)
    other = json.loads(json.dumps(document))
    schemas, batch = ("components", "schemas"), "/api/batches/{batch_id}"
    rename(other, *schemas, "BatchProgress", "properties", "tokens")
    rename(other, *schemas, "ChangeBudget", "properties", "budget_usd")
    stream = other["paths"]["/api/events"]["get"]["responses"]["200"]["content"][EVENTS]["schema"]
    rename(stream, "properties", "progress")
    rename(other, "paths", f"{batch}/series")
    rename_parameter(other, f"{batch}/rows", "outcome")
    with ThreadPoolExecutor() as pool:
        errors, expected = pool.map(type_errors, [packages] * 2, ["as-it-is", "renamed"], [document, other])
    assert not errors
    for file, fault in (
        ("pages/batch.js", "'tokens' does not exist"),
        ("pages/batch.js", "'budget_usd' does not exist"),
        ("pages/batches.js", "'progress' does not exist"),
        ("pages/batch.js", f"'\"{batch}/series\"' is not assignable"),
        ("results_browser.js", "'outcome' does not exist"),
    ):
        found = [line for line in expected.splitlines() if line.startswith(f"dashboard/{file}") and fault in line]
        assert found, f"{fault} is not reported:\n{expected}"
