"""``batchgate results``: downloads the results of a batch, as they are, as a table, or joined to one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Final, get_args

import click
from msgspec import Struct

from batchgate.cli.answer_reader import answers
from batchgate.cli.connection import Connection, connected
from batchgate.cli.failures import CommandFailed
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.output_file import STANDARD_OUTPUT, output_file
from batchgate.cli.run_options import id_column
from batchgate.cli.waiting import write_results
from batchgate.tables.answer_columns import AnswerColumns
from batchgate.tables.answer_table import AnswerTable
from batchgate.tables.chat_requests import ID_COLUMN
from batchgate.tables.joining import join_answers
from batchgate.tables.opening import TableFormat, format_of, open_table
from batchgate.tables.result_answers import Answer
from batchgate.tables.table import Table
from batchgate.tables.writing import TableShape, check_format, table_writer
from batchgate_api.anthropic import MessageBatch

DEFAULT_FORMAT: Final = "csv"


class _Asked(Struct, frozen=True, kw_only=True):
    """What the options ask for."""

    failed_only: bool
    merged: bool
    form: TableFormat | None
    join: Path | None
    id_name: str | None
    prefix: str

    @property
    def as_table(self) -> bool:
        return self.form is not None or self.join is not None


@click.command("results")
@click.argument("batch_id", metavar="ID")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    default=STANDARD_OUTPUT,
    help="Write the results to this file (stdout). The file appears when it is complete.",
)
@click.option("--failed", "failed_only", is_flag=True, help="Only the requests that did not succeed.")
@click.option("--merged", is_flag=True, help="Include the results of its retries: of each request, the best or latest.")
@click.option("--partial", is_flag=True, help="Do not insist that the batch has ended; write the results so far.")
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(TableFormat)),
    help="Write a table with the answers as columns, instead of the result lines.",
)
@click.option(
    "--join",
    type=click.Path(exists=True, path_type=Path),
    help="Write the rows of this table with their answers as columns, in its format or by --format or --output.",
)
@click.option(
    "--id",
    "id_name",
    metavar="COLUMN",
    help="With --join: the column with the custom_id (custom_id if there is one, otherwise the number of the row).",
)
@click.option("--prefix", default="", metavar="TEXT", help="With --join: begin the names of the new columns with this.")
@json_option("Print an error as JSON, and with --output the batch, as `show --json` does.")
@connected
def results_command(
    connection: Connection,
    batch_id: str,
    output: Path,
    *,
    failed_only: bool,
    merged: bool,
    partial: bool,
    form: TableFormat | None,
    join: Path | None,
    id_name: str | None,
    prefix: str,
    as_json: bool,
) -> None:
    """Download the results of the batch ID, in the order of submission.

    They are JSONL in the format of the API that created the batch, or with --format or --join a table.
    """
    if partial and merged:
        raise click.UsageError("--merged reads batches that have ended; leave out --partial.")
    asked = _Asked(failed_only=failed_only, merged=merged, form=form, join=join, id_name=id_name, prefix=prefix)
    batch = asyncio.run(_results(connection, batch_id, output, asked, partial=partial))
    if as_json and output != STANDARD_OUTPUT:
        print_json(batch)


async def _results(
    connection: Connection, batch_id: str, output: Path, asked: _Asked, *, partial: bool
) -> MessageBatch:
    """Write the results, and return their batch."""
    async with connection.client() as client:
        progress = await client.progress(batch_id)
        if progress.status not in {"ended", "failed"} and not partial:
            wait = connection.command("wait", batch_id, "--output", "FILE")
            raise CommandFailed(
                f"{batch_id} is {progress.status}: it has results once it has ended. To wait: {wait}; for the results "
                "so far, add --partial"
            )
        if asked.as_table:
            await _write_table(client, batch_id, output, asked)
        else:
            await write_results(client, batch_id, output, failed_only=asked.failed_only, merged=asked.merged)
        return await client.find(batch_id)


async def _write_table(client: GatewayClient, batch_id: str, output: Path, asked: _Asked) -> None:
    """Write the answers as a table, or joined to one."""
    form = asked.form or format_of(output) or (asked.join and format_of(asked.join)) or DEFAULT_FORMAT
    check_format(form)
    async with aclosing(client.results(batch_id, merged=asked.merged)) as pieces:
        found = answers(pieces)
        if asked.join is None:
            await _write_answers(found, output, form, failed_only=asked.failed_only)
        else:
            await _write_joined(found, open_table(asked.join), output, form, asked)


async def _write_answers(found: AsyncIterator[Answer], output: Path, form: TableFormat, *, failed_only: bool) -> None:
    columns = AnswerColumns()
    shape = TableShape(columns=[ID_COLUMN, *columns.names], numbers=columns.numbers, amounts=columns.amounts)
    with output_file(output) as file, table_writer(file, form, shape) as writer:
        async for answer in found:
            if not failed_only or answer.error is not None:
                writer.write({ID_COLUMN: answer.custom_id, **columns.values(answer)})


async def _write_joined(
    found: AsyncIterator[Answer], table: Table, output: Path, form: TableFormat, asked: _Asked
) -> None:
    columns = AnswerColumns(prefix=asked.prefix)
    columns.check_against(table.columns)
    target = AnswerTable(table, columns, form)
    ids = id_column(asked.id_name, table)
    with output_file(output) as file, target.writer(file) as write:
        async for row, answer in join_answers(table.rows(), ids, found):
            target.check(row)
            if not asked.failed_only or (answer is not None and answer.error is not None):
                write(row.cells, answer)
