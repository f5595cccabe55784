"""``batchgate submit``: creates a batch from a file, and with --wait writes its results to a file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import BinaryIO, Final

import click
from msgspec import structs

from batchgate.cli.connection import Connection, connected, header_value
from batchgate.cli.creation_options import Creation, creation_options
from batchgate.cli.failures import CommandFailed
from batchgate.cli.file_submission import FileSubmission
from batchgate.cli.json_option import json_option
from batchgate.cli.json_output import print_json
from batchgate.cli.output_file import STANDARD_OUTPUT, check_output
from batchgate.cli.terminal_text import say
from batchgate.cli.trial import may_go_on, trial_options
from batchgate.cli.validate import show_validation
from batchgate.cli.wait import finish

RESULTS_SUFFIX: Final = ".results.jsonl"


@click.command("submit")
@click.argument("file", type=click.File("rb"))
@click.option("--wait", is_flag=True, help="Wait until the batch has ended, and write its results.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    help=f"Write the results to this file, or to stdout for - (FILE with the suffix {RESULTS_SUFFIX}).",
)
@creation_options
@click.option(
    "--reuse",
    metavar="BATCH_ID",
    callback=header_value,
    help="Take over the results of this ended batch where requests are equal and succeeded there; run the others.",
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    callback=header_value,
    help="Create the batch once: the same command with the same key finds it again.",
)
@trial_options
@json_option("Print the batch as JSON, as `show --json` does.")
@click.option(
    "--dry-run", is_flag=True, help="Create no batch: check the file and estimate the batch, as `validate` does."
)
@connected
@click.pass_context
def submit_command(
    context: click.Context,
    connection: Connection,
    creation: Creation,
    file: BinaryIO,
    *,
    wait: bool,
    output: Path | None,
    reuse: str | None,
    idempotency_key: str | None,
    tried: int | None,
    yes: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Submit FILE as a batch and print its id.

    FILE is JSONL with one request a line, JSON with {"requests": [...]}, or - for stdin. The requests are those of the
    Messages API, {"custom_id": ..., "params": {...}}, or those of OpenAI's and the unified API, {"custom_id": ...,
    "method": "POST", "url": ..., "body": {...}}; the first one shows which.

    With --wait the exit status is 0 when all requests succeeded and 3 when some did not. With --dry-run it is 3 when
    the file has errors.
    """
    _check_options(wait=wait, output=output, reuse=reuse, tried=tried, dry_run=dry_run)
    if dry_run:
        show_validation(context, connection, file, account=creation.account, lane=creation.lane, as_json=as_json)
        return
    target = check_output(output or _default_output(file.name)) if wait else None
    submission = FileSubmission(connection, file, structs.replace(creation, reuse=reuse), idempotency_key)
    if tried is not None:
        _try_first(submission, tried)
        if not may_go_on(yes=yes):
            return
    batch_id = asyncio.run(submission.create())
    if not as_json or wait:
        say(batch_id, err=as_json or target == STANDARD_OUTPUT)
    if target is not None:
        finish(context, connection, batch_id, target, as_json=as_json)
    elif as_json:
        print_json(asyncio.run(submission.find(batch_id)))


def _check_options(*, wait: bool, output: Path | None, reuse: str | None, tried: int | None, dry_run: bool) -> None:
    if output is not None and not wait:
        raise click.UsageError("--output needs --wait; without it, `batchgate results ID` writes the results.")
    if dry_run and (wait or tried is not None):
        raise click.UsageError("--dry-run creates no batch to --wait for, or to --try.")
    if dry_run and reuse is not None:
        raise click.UsageError("--dry-run reads no other batch; leave out --reuse to see what all requests would need.")
    if tried is not None and reuse is not None:
        raise click.UsageError("--try lets the other requests reuse what was tried; leave out --reuse.")


def _try_first(submission: FileSubmission, count: int) -> None:
    try:
        os.lseek(submission.file.fileno(), 0, os.SEEK_CUR)
    except OSError as error:
        raise CommandFailed("--try reads the file twice, which a pipe cannot be; name a file.") from error
    asyncio.run(submission.run_first(count))


def _default_output(name: str) -> Path:
    return STANDARD_OUTPUT if name == "<stdin>" else Path(name).with_suffix(RESULTS_SUFFIX)
