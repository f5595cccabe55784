"""Generates wire models: one module of msgspec structs for each document, with datamodel-code-generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from batchgate_codegen.spec import Document, Json, Operation
from batchgate_codegen.tools import run_tool

OPTIONS = (
    "--input-file-type=openapi",
    "--output-model-type=msgspec.Struct",
    "--target-python-version=3.11",
    "--openapi-scopes=schemas",
    "--disable-timestamp",
    "--keep-model-order",
    "--keyword-only",
    "--strict-refs",
    "--use-standard-collections",
    "--use-union-operator",
    "--use-annotated",
    "--use-double-quotes",
    "--use-schema-description",
    "--use-inline-field-description",
    "--use-single-line-docstring",
    "--enum-field-as-literal=all",
    "--formatters=builtin",
    "--base-class=batchgate_api.structs.OpenStruct",
)
"""ARCHITECTURE.md, "Generation", explains the options."""

FROZEN = {"#all#": {"base_class_kwargs": {"frozen": True}}}
"""Set on every class, as type checkers require it on each subclass too."""

RAW = dict.fromkeys(("RawObject", "RawValue", "BatchFaults"), "msgspec.Raw")
"""Schemas of JSON that is passed on unchanged."""


def write_models(documents: tuple[Document, ...], package: Path, scratch: Path) -> None:
    """Write a module with the schemas of each document, and one with the parameters of all operations.

    One process writes all of them: the start of the generator takes longer than its work.
    """
    runs = [_of_schemas(document, package, scratch) for document in documents]
    operations = tuple(operation for document in documents for operation in document.operations)
    runs.append(_of_parameters(operations, package, scratch))
    arguments = scratch / "model_runs.json"
    arguments.write_text(json.dumps(runs))
    run_tool("batchgate_codegen.model_runs", str(arguments), cwd=scratch)


def _of_schemas(document: Document, package: Path, scratch: Path) -> list[str]:
    bases = dict.fromkeys(document.closed_schemas, "ClosedStruct")
    bases |= dict.fromkeys(document.hidden_schemas, "HiddenStruct")
    return _arguments(document.content, bases, package / f"{document.name}.py", scratch / f"{document.name}.yaml")


def _of_parameters(operations: tuple[Operation, ...], package: Path, scratch: Path) -> list[str]:
    """Return the arguments for one struct per operation with its path, query and header parameters."""
    schemas = {operation.parameters_name: _parameters_schema(operation) for operation in operations}
    content: Json = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {}}
    content["components"] = {"schemas": schemas}
    arguments = _arguments(content, {}, package / "parameters.py", scratch / "parameters.yaml")
    return [*arguments, "--snake-case-field"]


def _arguments(content: Json, bases: dict[str, str], target: Path, source: Path) -> list[str]:
    """Write the input of a run of the generator to ``source``, and return the arguments of the run."""
    source.write_text(yaml.safe_dump(content, sort_keys=False))
    template_data = source.with_suffix(".template.json")
    template_data.write_text(json.dumps(FROZEN))
    base_classes = {name: f"batchgate_api.structs.{base}" for name, base in bases.items()}
    return [
        f"--input={source}",
        f"--output={target}",
        f"--base-class-map={json.dumps(base_classes)}",
        f"--extra-template-data={template_data}",
        f"--type-overrides={json.dumps(RAW)}",
        *OPTIONS,
    ]


def _parameters_schema(operation: Operation) -> Json:
    properties: dict[str, Any] = {}
    for parameter in operation.parameters:
        properties[parameter["name"]] = {**parameter["schema"], "description": parameter["description"]}
    return {
        "type": "object",
        "description": f"Path, query and header parameters of {operation.id}.",
        "required": [p["name"] for p in operation.parameters if p.get("required")],
        "properties": properties,
    }
