"""The options of ``batchgate run`` that say what is asked of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import click
import msgspec
from msgspec import Struct

from batchgate.tables.answer_schema import AnswerSchema, read_schema
from batchgate.tables.chat_requests import ID_COLUMN, ChatRequests, max_tokens_field
from batchgate.tables.errors import TableError
from batchgate.tables.prompt_template import PromptTemplate
from batchgate.tables.table import Table, unknown_column

P = ParamSpec("P")
R = TypeVar("R")

_READABLE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class Question(Struct, frozen=True, kw_only=True):
    """What is asked of the model for each row, as the options say."""

    prompt: str | None = None
    prompt_file: Path | None = None
    system: str | None = None
    system_file: Path | None = None
    model: str = ""
    image: Sequence[str] = ()
    schema: Path | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    param: Sequence[str] = ()
    id_column: str | None = None

    def answer_schema(self) -> AnswerSchema | None:
        """Read the schema of the answers; raises `TableError`."""
        return None if self.schema is None else read_schema(self.schema)

    def requests(self, table: Table, folder: Path, schema: AnswerSchema | None) -> ChatRequests:
        """Return what makes the requests; raises `TableError` for columns that do not exist."""
        prompt = _text("--prompt", self.prompt, self.prompt_file)
        system = _text("--system", self.system, self.system_file)
        if prompt is None:
            raise click.UsageError("--prompt is missing: what to ask for each row, such as 'Summarise: {text}'.")
        return ChatRequests(
            prompt=PromptTemplate(prompt, table.columns),
            system=None if system is None else PromptTemplate(system, table.columns),
            images=[existing_column(name, table) for name in self.image],
            folder=folder,
            fields=self._fields(schema),
            id_column=id_column(self.id_column, table),
        )

    def _fields(self, schema: AnswerSchema | None) -> Mapping[str, object]:
        fields = {
            max_tokens_field(self.model): self.max_tokens,
            "temperature": self.temperature,
            "response_format": None if schema is None else schema.response_format,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return given | dict(map(_param, self.param))


def id_column(name: str | None, table: Table) -> str | None:
    """Return the column with the ids of rows: the named one, or ``custom_id`` if there is one."""
    if name is not None:
        return existing_column(name, table)
    return ID_COLUMN if ID_COLUMN in table.columns else None


def existing_column(name: str, table: Table) -> str:
    """Return the name of a column; raises `TableError` if there is none."""
    if name not in table.columns:
        raise TableError(unknown_column(name, table.columns))
    return name


def _text(option: str, text: str | None, file: Path | None) -> str | None:
    if text is not None and file is not None:
        raise click.UsageError(f"{option} and {option}-file say the same; give one of them.")
    try:
        return text if file is None else file.read_text(encoding="utf-8-sig").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file}: cannot be read as UTF-8: {error}") from error


def _param(pair: str) -> tuple[str, object]:
    name, equals, value = pair.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--param: write NAME=VALUE, not {pair!r}")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


_OPTIONS: Final = (
    click.option("--prompt", metavar="TEXT", help="What to ask for each row; {column} stands for the row's value."),
    click.option("--prompt-file", type=_READABLE, help="Read the prompt from this file."),
    click.option(
        "--model", required=True, metavar="MODEL", help="The model, with an account before it: ACCOUNT/MODEL."
    ),
    click.option("--system", metavar="TEXT", help="The system prompt; it may name columns too."),
    click.option("--system-file", type=_READABLE, help="Read the system prompt from this file."),
    click.option(
        "--image",
        metavar="COLUMN",
        multiple=True,
        help="Send the image that this column names, a URL or a path from the folder of FILE; may be repeated.",
    ),
    click.option(
        "--schema",
        type=_READABLE,
        help="Ask for JSON by the JSON schema in this file; each of its properties becomes a column.",
    ),
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most tokens of an answer."),
    click.option("--temperature", type=click.FloatRange(min=0), metavar="T", help="The temperature of the model."),
    click.option(
        "--param",
        metavar="NAME=VALUE",
        multiple=True,
        help="Set another field of Chat Completions, to JSON or to a text; may be repeated.",
    ),
    click.option(
        "--id",
        "id_column",
        metavar="COLUMN",
        help="Take the custom_id from this column (custom_id if there is one, otherwise the number of the row).",
    ),
)


def question_options(command: Callable[Concatenate[Question, P], R]) -> Callable[P, R]:
    """Add the options to a command, which gets them as a `Question`."""

    @wraps(command)
    def with_question(*args: P.args, **options: P.kwargs) -> R:
        given = {name: options.pop(name) for name in Question.__struct_fields__}
        question = Question(**given)  # type: ignore[arg-type]
        return command(question, *args, **options)

    decorated = with_question
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
