"""``batchgate transfer``: copies a stopped installation to another database and object storage."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import click

from batchgate.blobs import SETTLES
from batchgate.cli.failures import CommandFailed
from batchgate.cli.umask import restrict_umask
from batchgate.store.tables import NewRows, Rows, Table
from batchgate.transfer.bodies import NAMED, BodiesCopy
from batchgate.transfer.installation_end import InstallationEnd, end_of
from batchgate.transfer.rows import Compared, check_empty, compare, copy_rows, shared_tables


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
    ours = end_of(source, os.environ, use_environment=False)
    theirs = end_of(target, os.environ, use_environment=True)
    click.echo(f"From  {ours.database}, bodies in {ours.bodies}\nTo    {theirs.database}, bodies in {theirs.bodies}")
    with ours.rows(new=False) as rows, theirs.rows(new=not only_verify) as new_rows:
        tables = shared_tables(rows, new_rows)
        if not only_verify:
            check_empty(new_rows, tables)
        asyncio.run(_bodies(rows, ours, theirs, write=not only_verify))
        _rows(rows, new_rows, tables, write=not only_verify)
    click.echo("Verified." if only_verify else "Copied and verified.")


async def _bodies(rows: Rows, ours: InstallationEnd, theirs: InstallationEnd, *, write: bool) -> None:
    source, target = ours.blobs(), theirs.blobs()
    await target.check()
    copy = BodiesCopy(source, target, _progress, write=write)
    await copy.run(rows.blob_names())
    await asyncio.sleep(SETTLES)
    click.echo(f"{copy.bodies:,} bodies, {copy.size:,} bytes; {copy.passed_over:,} were there already")
    if copy.wrong:
        more = len(copy.wrong) - NAMED
        named = "\n".join(f"  {problem}" for problem in copy.wrong[:NAMED])
        raise CommandFailed(
            f"bodies are not as they should be:\n{named}" + (f"\n  and {more} more" if more > 0 else "")
        )


def _rows(rows: Rows, new_rows: NewRows, tables: Sequence[Table], *, write: bool) -> None:
    if write:
        copy_rows(rows, new_rows, tables, _progress)
    compared = compare(rows, new_rows, tables, _progress)
    _show(compared)
    if wrong := [f"  {found.table}: {found.difference}" for found in compared if found.difference]:
        kept = ", and nothing was kept" if write else ""
        raise CommandFailed(f"rows are not as they should be{kept}:\n" + "\n".join(wrong))
    if write:
        new_rows.commit()


def _show(compared: Sequence[Compared]) -> None:
    width = max(len(found.table) for found in compared)
    click.echo(f"{'table':{width}}  {'rows':>12}  {'copied':>12}  hash")
    for found in compared:
        state = found.digest if found.difference is None else "DIFFERS"
        click.echo(f"{found.table:{width}}  {found.rows:>12,}  {found.copied:>12,}  {state}")


def _progress(text: str) -> None:
    click.echo(text, err=True)
