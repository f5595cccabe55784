"""A JSON schema for the answers: what is asked of the model, and which columns its answers have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.tables.errors import TableError

NAME: Final = "answer"
"""The name that the API wants for a schema."""


class _Schema(Struct, rename="camel"):
    type: str
    properties: dict[str, object]
    additional_properties: object = True


class AnswerSchema(Struct, frozen=True):
    """The schema of an object."""

    content: msgspec.Raw
    properties: Sequence[str]
    """The names of the object's fields, each of which becomes a column."""
    is_closed: bool
    """Whether other fields are ruled out, so that the model can be held to the schema strictly."""

    @property
    def response_format(self) -> Mapping[str, object]:
        """The field ``response_format`` of Chat Completions."""
        strict = {"strict": True} if self.is_closed else {}
        return {"type": "json_schema", "json_schema": {"name": NAME, "schema": self.content, **strict}}

    def values(self, answer: str) -> Mapping[str, object]:
        """Return the fields of an answer; raises `ValueError` if it is no object."""
        try:
            return msgspec.json.decode(answer, type=dict[str, object])
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"the answer is not a JSON object: {error}") from error


def read_schema(path: Path) -> AnswerSchema:
    """Read the schema in a file; raises `TableError` if it is not one of an object with properties."""
    try:
        content = path.read_bytes()
        schema = msgspec.json.decode(content, type=_Schema)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TableError(f"{path}: it must be a JSON schema of an object with properties: {error}") from error
    if schema.type != "object" or not schema.properties:
        raise TableError(f'{path}: it must be a JSON schema with "type": "object" and with properties')
    compact = msgspec.json.encode(msgspec.json.decode(content))
    return AnswerSchema(msgspec.Raw(compact), list(schema.properties), schema.additional_properties is False)
