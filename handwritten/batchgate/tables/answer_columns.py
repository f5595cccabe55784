"""The columns that answers add to a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from batchgate.tables.answer_schema import AnswerSchema
from batchgate.tables.errors import TableError
from batchgate.tables.result_answers import Answer

TEXTS: Final = ("answer", "error", "finish_reason")
NUMBERS: Final = ("input_tokens", "output_tokens")
AMOUNTS: Final = ("cost_usd",)


class AnswerColumns:
    """Which columns an answer has: its text, its facts, and with a schema the fields of its JSON before them.

    The name of each begins with ``prefix``. Where a field has the name of a fact, that of the fact gets ``model_``.
    """

    def __init__(self, schema: AnswerSchema | None = None, prefix: str = "") -> None:
        self._schema = schema
        self._properties = {} if schema is None else {name: f"{prefix}{name}" for name in schema.properties}
        facts = (f"model_{name}" if name in self._properties else name for name in (*TEXTS, *NUMBERS, *AMOUNTS))
        self._facts = [f"{prefix}{name}" for name in facts]
        self.names: Sequence[str] = [*self._properties.values(), *self._facts]
        """The names of the columns, in their order."""
        self.numbers: Sequence[str] = self._facts[len(TEXTS) : -len(AMOUNTS)]
        """The columns that hold integers."""
        self.amounts: Sequence[str] = self._facts[-len(AMOUNTS) :]
        """The columns that hold amounts of money; all but these and ``numbers`` hold texts."""

    def check_against(self, columns: Sequence[str]) -> None:
        """Raise `TableError` if the table has such a column, or two of the new ones have the same name."""
        taken = next((name for name in self.names if name in columns or self.names.count(name) > 1), None)
        if taken is not None:
            raise TableError(f"there is a column {taken!r} already; name the new columns with --prefix TEXT")

    def values(self, answer: Answer | None) -> Mapping[str, object]:
        """Return the cells of an answer; without one they are empty."""
        found: dict[str, object] = dict.fromkeys(self.names)
        if answer is None:
            return found
        error = answer.error
        if self._schema is not None and answer.text:
            try:
                fields = self._schema.values(answer.text)
            except ValueError as not_json:
                error = str(not_json)
            else:
                found |= {column: fields.get(name) for name, column in self._properties.items()}
        facts = (answer.text, error, answer.finish_reason, answer.input_tokens, answer.output_tokens, answer.cost_usd)
        return found | dict(zip(self._facts, facts, strict=True))
