"""Translates Gemini's Schema, a subset of OpenAPI, to JSON Schema."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

_ONLY_GEMINI: Final = frozenset({"propertyOrdering", "property_ordering"})
_NAMES: Final = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
}
_COUNTS: Final = frozenset(_NAMES.values()) - {"anyOf"}


def json_schema(schema: Raw) -> Raw:
    """Return a Schema as JSON Schema: types in lower case, ``nullable`` as a type, counts as numbers."""
    return Raw(msgspec.json.encode(_converted(msgspec.json.decode(schema))))


def _converted(schema: object) -> object:
    if not isinstance(schema, dict):
        return schema
    converted: dict[str, object] = {}
    for key, value in schema.items():
        if not isinstance(key, str) or key in _ONLY_GEMINI or key == "nullable":
            continue
        name = _NAMES.get(key, key)
        converted[name] = _keyword(name, value)
    if schema.get("nullable") is True:
        return _nullable(converted)
    return converted


def _keyword(name: str, value: object) -> object:
    match name, value:
        case "type", str() as word:
            return word.lower()
        case "properties", dict() as properties:
            return {key: _converted(inner) for key, inner in properties.items()}
        case "items", _:
            return _converted(value)
        case "anyOf", list() as choices:
            return [_converted(choice) for choice in choices]
        case _, str() as digits if name in _COUNTS and digits.isdecimal():
            return int(digits)
        case _:
            return value


def _nullable(schema: dict[str, object]) -> dict[str, object]:
    """Return a schema that also accepts null."""
    if not isinstance(schema.get("type"), str):
        return {"anyOf": [schema, {"type": "null"}]}
    nullable = schema | {"type": [schema["type"], "null"]}
    if isinstance(values := schema.get("enum"), list):
        nullable["enum"] = [*values, None]
    return nullable
