"""``batchgate transfer``: copies a stopped installation to another database and object storage."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import click

from batchgate.blobs import THREAD_RELEASE_DELAY
from batchgate.cli.failures import CommandFailed
from batchgate.cli.umask import restrict_umask
from batchgate.store.tables import Table, TableReader, TableWriter
from batchgate.transfer.blob_copy import MAX_REPORTED, BlobCopy
from batchgate.transfer.endpoint import TransferEndpoint, load_endpoint
from batchgate.transfer.row_copy import TableComparison, check_target_empty, compare_rows, copy_rows, shared_tables


@click.command("transfer")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="PLACE",
    type=click.Path(exists=True, path_type=Path),
    help="Data folder or settings file of the installation to copy; it is not changed.",
)
@click.option(
    "--to",
    "target",
    required=True,
    metavar="PLACE",
    type=click.Path(path_type=Path),
    help="Target: the settings file of the new gateways (with the environment), or a data folder.",
)
@click.option("--verify", "only_verify", is_flag=True, help="Copy nothing; compare an earlier copy.")
def transfer_command(source: Path, target: Path, *, only_verify: bool) -> None:
    """Copy an installation while no gateway uses it, and verify every row and every byte.

    The target must be empty. All rows are written in one transaction, which is committed after they are verified. An
    interrupted copy leaves only files; run it again. Files that exist already are compared and skipped.
    """
    restrict_umask()
    ours = load_endpoint(source, os.environ, use_environment=False)
    theirs = load_endpoint(target, os.environ, use_environment=True)
    click.echo(f"From  {ours.database_location}, bodies in {ours.blob_location}")
    click.echo(f"To    {theirs.database_location}, bodies in {theirs.blob_location}")
    with ours.open_tables(writable=False) as rows, theirs.open_tables(writable=not only_verify) as new_rows:
        tables = shared_tables(rows, new_rows)
        if not only_verify:
            check_target_empty(new_rows, tables)
        asyncio.run(_bodies(rows, ours, theirs, write=not only_verify))
        _rows(rows, new_rows, tables, write=not only_verify)
    click.echo("Verified." if only_verify else "Copied and verified.")


async def _bodies(rows: TableReader, ours: TransferEndpoint, theirs: TransferEndpoint, *, write: bool) -> None:
    source, target = ours.open_blobs(), theirs.open_blobs()
    await target.check()
    copy = BlobCopy(source, target, _progress, write=write)
    await copy.run(rows.blob_names())
    await asyncio.sleep(THREAD_RELEASE_DELAY)
    click.echo(f"{copy.processed:,} bodies, {copy.total_bytes:,} bytes; {copy.skipped:,} were there already")
    if copy.errors:
        more = len(copy.errors) - MAX_REPORTED
        named = "\n".join(f"  {problem}" for problem in copy.errors[:MAX_REPORTED])
        raise CommandFailed(
            f"bodies are not as they should be:\n{named}" + (f"\n  and {more} more" if more > 0 else "")
        )


def _rows(rows: TableReader, new_rows: TableWriter, tables: Sequence[Table], *, write: bool) -> None:
    if write:
        copy_rows(rows, new_rows, tables, _progress)
    compared = compare_rows(rows, new_rows, tables, _progress)
    _show(compared)
    if wrong := [f"  {found.table}: {found.difference}" for found in compared if found.difference]:
        kept = ", and nothing was kept" if write else ""
        raise CommandFailed(f"rows are not as they should be{kept}:\n" + "\n".join(wrong))
    if write:
        new_rows.commit()


def _show(compared: Sequence[TableComparison]) -> None:
    width = max(len(found.table) for found in compared)
    click.echo(f"{'table':{width}}  {'rows':>12}  {'copied':>12}  hash")
    for found in compared:
        state = found.digest if found.difference is None else "DIFFERS"
        click.echo(f"{found.table:{width}}  {found.rows:>12,}  {found.copied:>12,}  {state}")


def _progress(text: str) -> None:
    click.echo(text, err=True)
