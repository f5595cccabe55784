"""``batchgate worker``: runs the batches that gateways on the same database take in."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import click

from batchgate.cli.banner import announce_worker
from batchgate.cli.log_output import FORMATS, LEVELS
from batchgate.cli.serve import settings_of
from batchgate.server import serve


@click.command("worker")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the settings from this TOML file; else from $BATCHGATE_CONFIG, else from batchgate.toml if it is there.",
)
@click.option("--host", metavar="ADDRESS", help="Listen on this address (127.0.0.1), if a port is given.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Answer /health and /metrics on this port; 0 takes a free one."
)
@click.option("--data-dir", metavar="FOLDER", help="Where the bodies are, unless the settings have a blob_url.")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    help="Log records of this level and above to stderr (info).",
)
@click.option(
    "--log-format",
    type=click.Choice(FORMATS, case_sensitive=False),
    help="Write log records as text for people, or as one JSON object a line (text).",
)
def worker_command(config: Path | None, *, port: int | None, **given: object) -> None:
    """Start a worker and run batches until SIGTERM or Ctrl-C.

    Any number of workers and gateways share the database of the settings. A worker that stops lets the calls under way
    finish and gives back the rest; a second signal gives them up. It listens nowhere unless it is given a port here.
    """
    settings = settings_of(config, port=port, **given)
    asyncio.run(serve(settings, partial(announce_worker, settings), role="worker", listens=port is not None))
