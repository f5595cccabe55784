"""The Avro schemas of Cohere's output datasets, with which results are written (native-lanes 2.12)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

_TEXT: Final = ["null", "string"]


def _record(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": kind} for key, kind in fields.items()]}


def _list(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _output(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return _record(name, custom_id="string", body=["null", body], error="string")


_UNITS: Final = _record("Units", input_tokens=["null", "double"], output_tokens=["null", "double"])
_CALL: Final = _record(
    "ToolCall", id="string", type="string", function=_record("Function", name="string", arguments="string")
)
_MESSAGE: Final = _record(
    "Message",
    role="string",
    content=["null", _list(_record("Part", type="string", text=_TEXT, thinking=_TEXT))],
    tool_calls=["null", _list(_CALL)],
    tool_plan=_TEXT,
)
_USAGE: Final = _record(
    "Usage", billed_units=["null", _UNITS], tokens=["null", "Units"], cached_tokens=["null", "double"]
)

SCHEMAS: Final = {
    "batch-chat-v2-input": _output(
        "ChatOutput", _record("ChatBody", id="string", finish_reason="string", message=_MESSAGE, usage=["null", _USAGE])
    ),
    "batch-embed-v2-input": _output(
        "EmbedOutput",
        _record(
            "EmbedBody",
            id="string",
            embeddings=_record("Vectors", float=["null", _list(_list("double"))]),
            texts=["null", _list("string")],
            meta=["null", _record("Meta", billed_units=["null", _UNITS])],
            response_type=_TEXT,
        ),
    ),
}
"""The schema of the output for each type of input; a field that an answer does not have is null."""


def write_avro(rows: Path, path: Path, schema: dict[str, Any]) -> int:
    """Write rows of JSON as Avro, and return their number."""
    from fastavro import writer  # noqa: PLC0415 - it comes with an extra

    count = 0

    def records() -> Iterator[dict[str, Any]]:
        nonlocal count
        with rows.open("rb") as lines:
            for line in lines:
                count += 1
                yield msgspec.json.decode(line)

    with path.open("wb") as file:
        writer(file, schema, records(), codec="deflate")
    return count
