"""``batchgate worker``: runs the batches of the gateways on the same database."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from batchgate.cli.banner import announce_worker
from batchgate.cli.log_output import FORMATS, LEVELS
from batchgate.cli.serve import settings_of
from batchgate.server import run_server


@click.command("worker")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with the settings ($BATCHGATE_CONFIG, or batchgate.toml if it exists).",
)
@click.option("--host", metavar="ADDRESS", help="Address to listen on, with --port (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port for /health and /metrics; 0 picks a free one.")
@click.option("--data-dir", metavar="FOLDER", help="Folder for request and result files, unless blob_url is set.")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    help="Lowest level that is logged (info).",
)
@click.option(
    "--log-format",
    type=click.Choice(FORMATS, case_sensitive=False),
    help="Format of log lines: text, or one JSON object a line (text).",
)
def worker_command(config: Path | None, *, port: int | None, **given: object) -> None:
    """Start a worker and run batches until SIGTERM or Ctrl-C.

    Any number of workers and gateways share one database. A worker that stops lets requests in flight finish
    and releases the rest; a second signal cancels them. A worker listens on no port unless --port is given.
    """
    settings = settings_of(config, port=port, **given)
    run_server(settings, partial(announce_worker, settings), role="worker", listens=port is not None)
