"""Makes a request of Chat Completions of each row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.tables.errors import RowError
from batchgate.tables.images import image_url
from batchgate.tables.prompt_template import PromptTemplate
from batchgate.tables.table import Cells, Row, text_of

MAX_REQUEST: Final = 32 * 1024 * 1024
"""Bytes of one request that the gateway takes."""
ID_COLUMN: Final = "custom_id"
"""The column with the ids of rows, if there is one and no other is named."""

_REASONING_MODEL: Final = re.compile(r"(ft:)?(o\d|gpt-(?!35)([5-9]|\d\d))")  # gpt-35 is Azure's name of GPT-3.5
_ENCODER: Final = msgspec.json.Encoder()


class ChatRequests(Struct, frozen=True, kw_only=True):
    """How the requests are made; all rows have the same fields."""

    prompt: PromptTemplate
    system: PromptTemplate | None = None
    images: Sequence[str] = ()
    """The columns with images."""
    folder: Path
    """Where paths of images begin."""
    fields: Mapping[str, object]
    """The other fields of the request, such as ``max_tokens``."""
    id_column: str | None
    """The column with the ids of rows; None for their numbers."""

    def line(self, row: Row) -> bytes:
        """Return the request of a row as one object of the array ``requests``; raises `RowError`."""
        try:
            request = {"custom_id": row_id(row, self.id_column), "body": self._body(row.cells)}
            line = _ENCODER.encode(request)
        except (RowError, UnicodeEncodeError) as error:
            raise RowError(f"{row.place}: {error}") from error
        if len(line) > MAX_REQUEST:
            raise RowError(f"{row.place}: its request has {len(line):,} bytes, at most {MAX_REQUEST:,} are possible")
        return line

    def _body(self, cells: Cells) -> Mapping[str, object]:
        system = [] if self.system is None else [{"role": "system", "content": self.system.fill(cells)}]
        return {"messages": [*system, {"role": "user", "content": self._content(cells)}], **self.fields}

    def _content(self, cells: Cells) -> object:
        text = self.prompt.fill(cells)
        urls = [url for name in self.images if (url := image_url(cells.get(name), self.folder)) is not None]
        if not urls:
            return text
        images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return [*images, {"type": "text", "text": text}]


def max_tokens_field(model: str) -> str:
    """Return the field with the most tokens of an answer: OpenAI's reasoning models refuse that of all others."""
    name = model.rpartition("/")[2]
    return "max_completion_tokens" if _REASONING_MODEL.match(name) else "max_tokens"


def row_id(row: Row, id_column: str | None) -> str:
    """Return the id of a row: its number, or the value of a column. Raises `RowError` if that is empty."""
    if id_column is None:
        return str(row.number)
    value = text_of(row.cells.get(id_column))
    if not value:
        raise RowError(f"its column {id_column!r}, the id of the row, is empty")
    return value
