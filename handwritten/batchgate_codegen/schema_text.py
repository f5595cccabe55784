"""JSON schemas as Markdown: what a field may hold, in words, and tables of fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from batchgate_codegen.spec import Json

MOST_VALUES: Final = 12
"""An enum of providers with more values is shortened in a table."""
A_PROVIDER: Final = "openai"
"""A value by which an enum of providers is recognized."""


class Schemas:
    """The schemas of all documents by name."""

    def __init__(self, documents: Iterable[Json]) -> None:
        self._schemas: Json = {}
        for schemas in documents:
            self._schemas.update(schemas)

    def __getitem__(self, name: str) -> Json:
        schema: Json = self._schemas[name]
        return schema

    def describe(self, schema: Json) -> str:
        """Write the type of a schema and its bounds, such as ``integer, 1 to 1000``."""
        if "$ref" in schema:
            return self._reference(schema["$ref"].rpartition("/")[2])
        for choice in ("oneOf", "anyOf"):
            if choice in schema:
                return " or ".join(dict.fromkeys(self.describe(part) for part in schema[choice]))
        if "allOf" in schema:
            return self.describe(schema["allOf"][0])
        if "enum" in schema:
            return _values(schema["enum"])
        if "const" in schema:
            return f"`{schema['const']}`"
        return self._plain(schema)

    def reached_from(self, names: Iterable[str]) -> list[str]:
        """List the objects with fields that these schemas lead to, themselves first, each once."""
        waiting, reached = list(names), list[str]()
        while waiting:
            name = waiting.pop(0)
            if name in reached:
                continue
            if fields(self[name], self):
                reached.append(name)
            waiting += _references(self[name])
        return reached

    def _reference(self, name: str) -> str:
        schema = self[name]
        if fields(schema, self):
            return object_link(name)
        return self.describe(schema)

    def _plain(self, schema: Json) -> str:
        kinds = schema.get("type", "any JSON")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        parts = [self._kind(kind, schema) for kind in kinds]
        return " or ".join(parts) + _bounds(schema)

    def _kind(self, kind: str, schema: Json) -> str:
        if kind == "array":
            return f"array of {self.describe(schema.get('items', {}))}"
        if kind == "string" and schema.get("format") in {"date-time", "binary"}:
            return {"date-time": "time (RFC 3339)", "binary": "bytes"}[schema["format"]]
        return kind


def fields(schema: Json, schemas: Schemas) -> Json:
    """Collect the properties of a schema, those of its ``allOf`` included."""
    found: Json = {}
    for part in schema.get("allOf", ()):
        found.update(fields(schemas[part["$ref"].rpartition("/")[2]] if "$ref" in part else part, schemas))
    found.update(schema.get("properties", {}))
    return found


def fields_table(schema: Json, schemas: Schemas) -> str:
    """Write the fields of an object as a table."""
    required = set(schema.get("required", ()))
    rows = (
        [
            f"`{name}`" + (" (required)" if name in required else ""),
            schemas.describe(field),
            sentence(field.get("description") or _described_elsewhere(field, schemas)),
        ]
        for name, field in fields(schema, schemas).items()
    )
    return table(["field", "type", "description"], rows)


def object_link(name: str) -> str:
    """Write a link to the table of an object's fields on the same page."""
    return f"[{name}](#{name.lower()}-object)"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def cell(text: str) -> str:
    """Write a text so that it fits into a cell of a table."""
    return " ".join(text.replace("|", "&#124;").split())


def sentence(text: str) -> str:
    """Put a description on one line that ends with a full stop."""
    line = " ".join(text.split())
    return f"{line}." if line and line[-1] not in ".!?:" else line


def _described_elsewhere(field: Json, schemas: Schemas) -> str:
    """Take the description of a value, not of an object, from the schema that the field refers to."""
    if "$ref" not in field:
        return ""
    schema = schemas[field["$ref"].rpartition("/")[2]]
    return "" if fields(schema, schemas) else str(schema.get("description", ""))


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
        return own + [name for value in node.values() for name in _references(value)]
    if isinstance(node, list):
        return [name for value in node for name in _references(value)]
    return []


def _values(values: Sequence[object]) -> str:
    shown = [f"`{value}`" if isinstance(value, str) else str(value).lower() for value in values]
    if len(shown) <= MOST_VALUES or A_PROVIDER not in values:
        return ", ".join(shown)
    return f"the [name of a provider](../index.md#names-of-providers), such as {', '.join(shown[:3])}"


def _bounds(schema: Json) -> str:
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
    ):
        if low in schema and high in schema:
            return f", {schema[low]:,} to {schema[high]:,}{unit}"
        if high in schema:
            return f", at most {schema[high]:,}{unit}"
        if low in schema:
            return f", at least {schema[low]:,}{unit}"
    return ""
