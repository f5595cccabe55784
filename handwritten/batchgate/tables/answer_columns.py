"""The columns that answers add to a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from batchgate.tables.answer_schema import AnswerSchema
from batchgate.tables.errors import TableError
from batchgate.tables.result_answers import Answer

TEXTS: Final = ("answer", "error", "finish_reason")
NUMBERS: Final = ("input_tokens", "output_tokens")


class AnswerColumns(Struct, frozen=True):
    """Which columns an answer has: its text, or also the fields of its JSON."""

    schema: AnswerSchema | None = None
    prefix: str = ""
    """What the name of each begins with."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns, in their order."""
        properties = () if self.schema is None else self.schema.properties
        return [f"{self.prefix}{name}" for name in (*properties, *TEXTS, *NUMBERS)]

    @property
    def numbers(self) -> Sequence[str]:
        """The columns that hold integers; the others hold texts."""
        return [f"{self.prefix}{name}" for name in NUMBERS]

    def check_against(self, columns: Sequence[str]) -> None:
        """Raise `TableError` if the table has such a column, or two of the new ones have the same name."""
        names = self.names
        taken = next((name for name in names if name in columns or names.count(name) > 1), None)
        if taken is not None:
            raise TableError(f"there is a column {taken!r} already; name the new columns with --prefix TEXT")

    def values(self, answer: Answer | None) -> Mapping[str, object]:
        """Return the cells of an answer; without one they are empty."""
        found: dict[str, object] = dict.fromkeys(self.names)
        if answer is not None:
            own = (answer.text, answer.error, answer.finish_reason, answer.input_tokens, answer.output_tokens)
            found |= self._prefixed(dict(zip((*TEXTS, *NUMBERS), own, strict=True)))
            if self.schema is not None and answer.text:
                found |= self._fields(self.schema, answer.text)
        return found

    def _fields(self, schema: AnswerSchema, text: str) -> Mapping[str, object]:
        try:
            values = schema.values(text)
        except ValueError as error:
            return self._prefixed({"error": str(error)})
        return self._prefixed({name: values.get(name) for name in schema.properties})

    def _prefixed(self, cells: Mapping[str, object]) -> Mapping[str, object]:
        return {f"{self.prefix}{name}": value for name, value in cells.items()}
