"""Reads spec/: documents with their mounts, operations and schemas, and bundles them for publication."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "put", "post", "delete", "patch", "head")
SCOPES = ("read", "submit", "admin")

Json = dict[str, Any]
"""A JSON object of an OpenAPI document."""


class SpecError(Exception):
    """The spec is invalid; the message names the file and the path."""


@dataclass(frozen=True)
class Operation:
    """One operation of a document, its references resolved."""

    id: str
    method: str
    paths: tuple[str, ...]
    """All paths of the operation, the canonical path first."""
    tag: str
    summary: str
    description: str
    authenticated: bool
    scopes: tuple[str, ...]
    """The scopes of API keys that may call the operation; one of them is sufficient."""
    parameters: tuple[Json, ...]
    body_schema: str | None
    """The name of the body's schema, if there is a body."""
    media_type: str | None
    """The required content type of the body."""
    body_streamed: bool
    ignored: tuple[str, ...]
    """The fields of the body that have no effect (`x-ignored`)."""
    responses: dict[int, str | None]
    """Status to the name of the schema; None if the response is streamed."""

    @property
    def name(self) -> str:
        """The id as a Python function name."""
        return snake_case(self.id)

    @property
    def parameters_name(self) -> str:
        """The name of the struct of its parameters."""
        return f"{self.id[0].upper()}{self.id[1:]}Parameters"

    @property
    def success(self) -> str | None:
        """The name of the schema of a 200 response, or None if the handler streams it."""
        return self.responses[200]


@dataclass(frozen=True)
class Document:
    """One file of spec/."""

    name: str
    content: Json
    dialect: str
    mounts: tuple[str, ...]
    operations: tuple[Operation, ...] = field(default=())

    def mounts_of(self, item: Json) -> tuple[str, ...]:
        """Return the mounts of a path: its own, or those of the document."""
        return tuple(item.get("x-mounts", self.mounts))

    @property
    def schemas(self) -> Json:
        """The document's schemas by name."""
        schemas: Json = self.content["components"]["schemas"]
        return schemas

    @property
    def closed_schemas(self) -> tuple[str, ...]:
        """The names of the schemas that reject unknown fields."""
        return tuple(n for n, s in self.schemas.items() if s.get("additionalProperties") is False)

    @property
    def hidden_schemas(self) -> tuple[str, ...]:
        """The names of the schemas whose values are never printed; they also reject unknown fields."""
        return tuple(n for n, s in self.schemas.items() if s.get("x-hidden"))


def load(folder: Path) -> tuple[Document, ...]:
    """Read every document of spec/, in the order of their names."""
    documents = tuple(_load_document(path) for path in sorted(folder.glob("*.yaml")))
    if not documents:
        raise SpecError(f"no *.yaml in {folder.name}/")
    _require_unique(operation.id for document in documents for operation in document.operations)
    _require_unique(
        f"{operation.method} {path}" for d in documents for operation in d.operations for path in operation.paths
    )
    return documents


def bundle(documents: tuple[Document, ...]) -> Json:
    """Merge the documents into one OpenAPI document in which every reference is internal."""
    gateway = next(document for document in documents if document.name == "gateway")
    merged: Json = {
        "openapi": "3.1.0",
        "info": gateway.content["info"],
        "tags": [tag for document in documents for tag in document.content.get("tags", ())],
        "paths": {},
        "components": {},
    }
    for document in documents:
        for path, item in document.content["paths"].items():
            first, *rest = (mount + path for mount in document.mounts_of(item))
            merged["paths"][first] = _published_item(item, document, rest)
        _merge_components(merged["components"], document)
    return merged


def without_unused_components(bundled: Json) -> Json:
    """Return the document without components that no operation refers to, such as row schemas."""
    wanted: set[str] = set()
    pending = [bundled["paths"]]
    while pending:
        for reference in _references(pending.pop()):
            if reference not in wanted:
                wanted.add(reference)
                pending.append(_resolve(bundled, reference))
    used = {
        kind: {n: v for n, v in entries.items() if kind == "securitySchemes" or f"#/components/{kind}/{n}" in wanted}
        for kind, entries in bundled["components"].items()
    }
    return {**bundled, "components": {kind: entries for kind, entries in used.items() if entries}}


def snake_case(name: str) -> str:
    """Turn ``createMessageBatch`` or ``Message Batches`` into a Python name."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


class _Loader(yaml.SafeLoader):
    """Refuses an object that has a key twice, of which PyYAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                mark = key.start_mark
                raise SpecError(f"{Path(mark.name).name} line {mark.line + 1}: the key {key.value!r} is there twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _load_document(path: Path) -> Document:
    with path.open() as file:
        content = yaml.load(file, _Loader)  # noqa: S506 - a SafeLoader
    for example in _examples(content):
        _inline_example(example, path.parent)
    document = Document(
        name=path.stem,
        content=content,
        dialect=content.get("x-dialect", "gateway"),
        mounts=tuple(content.get("x-mounts", ("",))),
    )
    operations = tuple(_operations(document))
    return Document(document.name, content, document.dialect, document.mounts, operations)


def _operations(document: Document) -> Iterator[Operation]:
    for path, item in document.content["paths"].items():
        for method in METHODS:
            if method in item:
                yield _operation(document, path, method, item)


def _operation(document: Document, path: str, method: str, item: Json) -> Operation:
    raw: Json = item[method]
    location = f"{document.name}.yaml {method} {path}"
    if "operationId" not in raw or not raw.get("tags") or "200" not in raw["responses"]:
        raise SpecError(f"{location}: an operation needs an operationId, a tag and a 200 response")
    security = raw["security"] if "security" in raw else document.content.get("security", [])
    authenticated = bool(security) and {} not in security  # an empty requirement makes the key optional
    body = raw.get("requestBody", {})
    media_type = next(iter(body["content"])) if body else None
    body_schema = _schema_name(body, media_type, location) if media_type else None
    fields = document.schemas[body_schema].get("properties", {}) if body_schema else {}
    return Operation(
        id=raw["operationId"],
        method=method.upper(),
        paths=tuple(mount + path for mount in document.mounts_of(item)),
        tag=raw["tags"][0],
        summary=raw["summary"],
        description=raw.get("description", ""),
        authenticated=authenticated,
        scopes=_scopes(raw, authenticated, location),
        parameters=tuple(_dereference(document.content, p) for p in raw.get("parameters", ())),
        body_schema=body_schema,
        media_type=media_type,
        body_streamed=body.get("x-streamed", False),
        ignored=tuple(name for name, field in fields.items() if field.get("x-ignored")),
        responses={int(s): _response_schema(document, r, location) for s, r in raw["responses"].items()},
    )


def _scopes(raw: Json, authenticated: bool, location: str) -> tuple[str, ...]:
    declared = raw.get("x-scope", [])
    scopes = (declared,) if isinstance(declared, str) else tuple(declared)
    if bool(scopes) != authenticated or not set(scopes) <= set(SCOPES):
        raise SpecError(
            f"{location}: x-scope should be one or more of {', '.join(SCOPES)} if a key is required, else absent"
        )
    return scopes


def _response_schema(document: Document, raw: Json, location: str) -> str | None:
    response = _dereference(document.content, raw)
    has_model = "content" in response and not response.get("x-streamed")
    return _schema_name(response, "application/json", location) if has_model else None


def _schema_name(holder: Json, media_type: str, location: str) -> str:
    reference = holder.get("content", {}).get(media_type, {}).get("schema", {}).get("$ref", "")
    prefix, _, name = reference.rpartition("/")
    if prefix != "#/components/schemas":
        raise SpecError(f"{location}: a body should be a $ref to a named schema, not {reference or 'an inline schema'}")
    return str(name)


def _published_item(item: Json, document: Document, aliases: list[str]) -> Json:
    published = {key: value for key, value in item.items() if key != "x-mounts"}
    for method in METHODS:
        if method in item:
            published[method] = {"security": document.content.get("security", []), **item[method]}
    return {**published, "x-aliases": aliases} if aliases else published


def _merge_components(merged: Json, document: Document) -> None:
    for kind, entries in document.content.get("components", {}).items():
        target = merged.setdefault(kind, {})
        for name, entry in entries.items():
            if target.setdefault(name, entry) != entry:
                raise SpecError(
                    f"{document.name}.yaml: components.{kind}.{name} has a different definition in another document"
                )


def _examples(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        if "externalValue" in node:
            yield node
        for value in node.values():
            yield from _examples(value)
    elif isinstance(node, list):
        for value in node:
            yield from _examples(value)


def _inline_example(example: Json, folder: Path) -> None:
    path = folder / str(example.pop("externalValue"))
    if not path.is_file():
        raise SpecError(f"no such example: {path.relative_to(folder.parent)}")
    example["value"] = json.loads(path.read_text())


def _dereference(content: Json, node: Json) -> Json:
    return _resolve(content, node["$ref"]) if "$ref" in node else node


def _resolve(content: Json, reference: str) -> Json:
    node: Any = content
    for part in reference.removeprefix("#/").split("/"):
        if part not in node:
            raise SpecError(f"{reference} does not exist")
        node = node[part]
    resolved: Json = node
    return resolved


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _require_unique(names: Iterator[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SpecError(f"{name} is defined twice")
        seen.add(name)
