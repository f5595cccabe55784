"""Generates the server code: the operation table, one handler Protocol for each tag, and openapi.json."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from batchgate_codegen.spec import Document, Operation, bundle, snake_case

TEMPLATES = Path(__file__).parent / "templates" / "server"


def write_server(documents: tuple[Document, ...], package: Path) -> None:
    """Write structs.py, operations.py, handlers.py, __init__.py, py.typed and openapi.json to ``package``."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    served = [document for document in documents if document.operations]
    for template in environment.list_templates(extensions=["jinja"]):
        text = environment.get_template(template).render(
            documents=served, tags=_by_tag(documents), snake_case=snake_case
        )
        (package / template.removesuffix(".jinja")).write_text(text)
    (package / "py.typed").write_text("")
    (package / "openapi.json").write_text(json.dumps(bundle(documents), indent=1, ensure_ascii=False) + "\n")


def _by_tag(documents: tuple[Document, ...]) -> dict[str, list[tuple[Document, Operation]]]:
    tags: dict[str, list[tuple[Document, Operation]]] = {}
    for document in documents:
        for operation in document.operations:
            tags.setdefault(operation.tag, []).append((document, operation))
    return tags
