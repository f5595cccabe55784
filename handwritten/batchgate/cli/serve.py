"""``batchgate serve``: starts the gateway and prints its URL."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

import click

from batchgate.blobs import blob_location
from batchgate.cli.banner import announce_gateway
from batchgate.cli.log_output import FORMATS, LEVELS, log_to_stderr
from batchgate.cli.umask import restrict_umask
from batchgate.installation import Role
from batchgate.server import run_server
from batchgate.settings import Settings, load_settings, unknown_variables

logger = logging.getLogger(__name__)


@click.command("serve")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with the settings ($BATCHGATE_CONFIG, or batchgate.toml if it exists).",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    help="Address to listen on (127.0.0.1); other machines can connect only if API keys exist.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (8080); 0 picks a free one.")
@click.option(
    "--data-dir", metavar="FOLDER", help="Folder for the database and for request and result files (batchgate-data)."
)
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
@click.option(
    "--no-worker",
    is_flag=True,
    help="Accept and show batches, but do not run them: `batchgate worker` does. Needs database_url.",
)
def serve_command(config: Path | None, *, no_worker: bool, **given: object) -> None:
    """Start the gateway and serve until SIGTERM or Ctrl-C.

    Then the gateway accepts no new batches and lets requests in flight finish; a second signal cancels them. Unfinished
    batches continue when the gateway starts again, or on another worker.
    """
    settings = settings_of(config, **given)
    role: Role = "gateway" if no_worker else "both"
    run_server(settings, partial(announce_gateway, settings), role=role)


def settings_of(config: Path | None, **given: object) -> Settings:
    """Load the settings of a process, and set up its umask and its logging."""
    restrict_umask()
    settings = load_settings(config, os.environ, **given)
    log_to_stderr(settings.log_level, settings.log_format)
    for variable in unknown_variables(settings, os.environ):
        logger.warning("%s is not a setting and has no effect", variable, extra={"action": "unknown_variable"})
    if settings.database_url is not None and (settings.blob_url or "file:").startswith("file:"):
        message = (
            "request and result files are in %s: all processes need access to this folder; or set blob_url to a bucket"
        )
        place = blob_location(settings.blob_url, Path(settings.data_dir))
        logger.warning(message, place, extra={"action": "local_blob_storage"})
    return settings
