"""The columns that an answer adds to a row, read from a result of Chat Completions; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from batchgate_streams.errors import UnusableRow
from batchgate_streams.rows import Row

COLUMNS: Final = ("answer", "error", "finish_reason", "input_tokens", "output_tokens", "cost_usd")
SCHEMA_NAME: Final = "answer"
"""The name that the API wants for a schema."""


class AnswerColumns:
    """Which columns an answer has: those of `COLUMNS`, after the properties of the schema if there is one."""

    def __init__(self, schema: Mapping[str, Any] | None, prefix: str) -> None:
        if schema is not None and not (schema.get("type") == "object" and schema.get("properties")):
            raise ValueError('schema: a JSON schema with "type": "object" and with properties')
        self._schema = schema
        self._prefix = prefix
        self._properties: Sequence[str] = [] if schema is None else [*schema["properties"]]
        self.names: Final = [f"{prefix}{name}" for name in (*self._properties, *COLUMNS)]
        """The names of the columns, in their order."""
        if len({*self.names}) < len(self.names):
            raise ValueError(f"schema: its properties must not be called {', '.join(COLUMNS)}")

    @property
    def response_format(self) -> Mapping[str, Any]:
        """The field of the request that asks for the schema, if there is one."""
        if self._schema is None:
            return {}
        strict = {"strict": True} if self._schema.get("additionalProperties") is False else {}
        described = {"name": SCHEMA_NAME, "schema": self._schema} | strict
        return {"response_format": {"type": "json_schema", "json_schema": described}}

    def check(self, row: Mapping[str, Any]) -> None:
        """Raise `UnusableRow` if a row has such a column already."""
        taken = next((name for name in self.names if name in row), None)
        if taken is not None:
            raise UnusableRow(f"it has a column {taken!r} already; give the new columns another name with prefix=")

    def read(self, result: Row) -> dict[str, Any]:
        """Return the columns of a result; those that it does not have are None."""
        found = dict.fromkeys((*self._properties, *COLUMNS)) | _answer(result)
        if self._schema is not None and found["answer"]:
            found |= self._fields(found["answer"])
        return {f"{self._prefix}{name}": value for name, value in found.items()}

    def _fields(self, answer: str) -> dict[str, Any]:
        try:
            fields = json.loads(answer)
        except (ValueError, RecursionError) as error:
            return {"error": f"the answer is not JSON: {error}"}
        if not isinstance(fields, dict):
            return {"error": "the answer is not a JSON object"}
        return {name: fields.get(name) for name in self._properties}


def _answer(result: Row) -> dict[str, Any]:
    match result:
        case {"response": {"body": {"choices": [{"message": dict(message), **choice}, *_], **body}}}:
            found = _found(message, choice.get("finish_reason"), body.get("usage"))
            return found | {"cost_usd": result.get("cost_usd")}
        case {"response": {"body": {"error": {"message": str(message)}}}} | {"error": {"message": str(message)}}:
            return {"error": message}
    return {"error": "the result is not one of Chat Completions"}


def _found(message: Mapping[str, Any], finish_reason: object, usage: object) -> dict[str, Any]:
    tokens = usage if isinstance(usage, dict) else {}
    refusal = message.get("refusal")
    return {
        "answer": message.get("content"),
        "error": f"the model refused: {refusal}" if refusal else None,
        "finish_reason": finish_reason,
        "input_tokens": tokens.get("prompt_tokens"),
        "output_tokens": tokens.get("completion_tokens"),
    }
