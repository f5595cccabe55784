"""``batchgate run``: asks a model about each row of a table, and writes the table with the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import click
from msgspec import structs

from batchgate.cli.connection import Connection, connected
from batchgate.cli.creation_options import LONGEST_NAME, Creation, creation_options
from batchgate.cli.estimate_text import error_lines, estimate_lines
from batchgate.cli.failures import INTERRUPTED_STATUS, BatchPaused, CommandFailed
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.output_file import STANDARD_OUTPUT, check_output
from batchgate.cli.run_answers import write_run
from batchgate.cli.run_batches import create_batches, part_body, part_fields
from batchgate.cli.run_end import report_run, run_result
from batchgate.cli.run_options import Question, question_options
from batchgate.cli.run_plan import PartRows, RunPart, RunSource, first_rows, plan_run
from batchgate.cli.terminal_text import say
from batchgate.cli.trial import may_go_on, show_trial, trial_options
from batchgate.cli.wait import paused_failure
from batchgate.cli.waiting import wait_for_all
from batchgate.tables.answer_columns import AnswerColumns
from batchgate.tables.answer_table import AnswerTable
from batchgate.tables.errors import TableError
from batchgate.tables.opening import FORMATS, TableFormat, format_of, open_table
from batchgate.tables.table import Row
from batchgate.tables.writing import check_format
from batchgate_api.anthropic import MessageBatch
from batchgate_api.gateway import BatchEstimate, BatchProgress

GOES_ON: Final = "The batches continue on the gateway. The same command goes on where this one stopped."


@click.command("run")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@question_options
@creation_options
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    help="Write the answers to this file, by its suffix as CSV, TSV, JSONL or Parquet, or to stdout for - (FILE with "
    "answers before its suffix).",
)
@click.option("--prefix", default="", metavar="TEXT", help="Begin the names of the new columns with this text.")
@trial_options
@click.option("--dry-run", is_flag=True, help="Send nothing: check the rows, and estimate tokens, cost and duration.")
@json_option("Print one line of JSON at the end: batches, counts, cost, and the file; with --dry-run the estimates.")
@connected
@click.pass_context
def run_command(
    context: click.Context,
    connection: Connection,
    creation: Creation,
    question: Question,
    file: Path,
    *,
    out: Path | None,
    prefix: str,
    tried: int | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Ask a model about each row of FILE, and write FILE again with the answers as columns.

    FILE is a table: CSV, TSV, JSONL, Parquet, or the folder of a Hugging Face dataset. The first line of CSV and TSV
    names the columns.

    The same command again goes on where it was stopped, and pays for nothing twice. To pay for other answers, give it
    another --name.

    The exit status is 0 when all rows have an answer and 3 when some have none.
    """
    target = check_output(out or _default_output(file))
    if as_json and target == STANDARD_OUTPUT and not dry_run:
        raise click.UsageError("--json and the answers cannot both go to stdout; name a file with --out.")
    run = _Run(connection, structs.replace(creation, name=creation.name or _default_name(file)), question.model)
    run.prepare(_source(file, target, question, prefix))
    if dry_run:
        asyncio.run(run.estimate(as_json=as_json))
        return
    try:
        if tried is not None and not run.try_first(tried, yes=yes):
            return
        ids_on_stderr = as_json or target == STANDARD_OUTPUT
        batches, counts = asyncio.run(run.finish(target, ids_on_stderr=ids_on_stderr))
    except KeyboardInterrupt:
        say(f"Stopped. {GOES_ON}", err=True)
        context.exit(INTERRUPTED_STATUS)
    if as_json:
        print_json(run_result(batches, counts, target))
    report_run(context, connection, batches, counts, target)


class _Run:
    """The steps of one run."""

    def __init__(self, connection: Connection, creation: Creation, model: str) -> None:
        self._connection = connection
        self._creation = creation
        self._model = model
        self._source: RunSource
        self._parts: Sequence[RunPart]

    def prepare(self, source: RunSource) -> None:
        """Check all rows."""
        self._source = source
        self._parts = plan_run(source)

    async def estimate(self, *, as_json: bool) -> None:
        """Print what the batch of each part would need."""
        rows = PartRows(self._source.table)
        async with self._connection.client() as client:
            for part in self._parts:
                fields = part_fields(self._creation, self._model, self._parts, part)
                body = part_body(self._source, rows, part, fields)
                estimate = await client.validate(body, self._creation.account)
                if as_json:
                    print_json(estimate)
                else:
                    self._print(part, estimate)

    def _print(self, part: RunPart, estimate: BatchEstimate) -> None:
        if len(self._parts) > 1:
            say(f"Rows {part.first + 1:,} to {part.first + part.rows:,}, a batch of their own:")
        for line in (*error_lines(estimate), *estimate_lines(estimate)):
            say(line)

    def try_first(self, count: int, *, yes: bool) -> bool:
        """Run the first rows as a batch of their own; return whether the others may run, which then reuse it."""
        rows = [row for row in islice(self._source.table.rows(), count) if isinstance(row, Row)]
        tried = asyncio.run(self._try(rows))
        self._creation = structs.replace(self._creation, reuse=tried)
        return may_go_on(yes=yes)

    async def _try(self, rows: Sequence[Row]) -> str:
        parts = [first_rows(self._source, rows)]
        creation = structs.replace(self._creation, lane="direct", budget=None)
        prompts = [self._source.requests.prompt.fill(row.cells) for row in rows]
        async with self._connection.client() as client:
            batch_id = await anext(create_batches(client, self._source, parts, creation, self._model))
            await show_trial(client, batch_id, prompts, sum(part.rows for part in self._parts))
        return batch_id

    async def finish(
        self, target: Path, *, ids_on_stderr: bool
    ) -> tuple[Sequence[MessageBatch], Sequence[BatchProgress]]:
        """Create the batches or find them, wait until they have ended, and write the answers."""
        ids: list[str] = []
        try:
            async with self._connection.client() as client:
                async for batch_id in create_batches(client, self._source, self._parts, self._creation, self._model):
                    say(batch_id, err=ids_on_stderr)
                    ids.append(batch_id)
                counts = await wait_for_all(client, ids)
                await write_run(client, self._source, self._parts, ids, target)
                return [await client.find(batch_id) for batch_id in ids], counts
        except BatchPaused as error:
            raise paused_failure(self._connection, error) from error
        except (CommandFailed, TableError) as error:
            raise CommandFailed(f"{error}\n{GOES_ON}" if ids else str(error), cause=error) from error


def _source(file: Path, target: Path, question: Question, prefix: str) -> RunSource:
    """Open the table, and check that the answers can be written; raises `TableError`."""
    table = open_table(file)
    schema = question.answer_schema()
    columns = AnswerColumns(schema, prefix)
    columns.check_against(table.columns)
    requests = question.requests(table, file if file.is_dir() else file.parent, schema)
    return RunSource(table, requests, AnswerTable(table, columns, _format(file, target)))


def _format(file: Path, target: Path) -> TableFormat:
    form = format_of(target)
    if target == STANDARD_OUTPUT:
        form = format_of(file) or "jsonl"
    if form is None:
        raise click.UsageError(f"{target}: its name must end with {', '.join(FORMATS)}.")
    if target.resolve() == file.resolve():
        raise click.UsageError(f"--out: {target} is the input; name another file.")
    check_format(form)
    return form


def _default_output(file: Path) -> Path:
    suffix = ".parquet" if file.is_dir() else file.suffix
    return file.with_name(f"{file.resolve().stem}.answers{suffix}")


def _default_name(file: Path) -> str | None:
    name = file.resolve().name
    return name if len(name) <= LONGEST_NAME and name.isprintable() else None
