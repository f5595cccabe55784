"""``batchgate serve``: starts the gateway and says where it is."""

from __future__ import annotations

import asyncio
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
from batchgate.server import serve
from batchgate.settings import Settings, load_settings, unknown_variables

logger = logging.getLogger(__name__)


@click.command("serve")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the settings from this TOML file; else from $BATCHGATE_CONFIG, else from batchgate.toml if it is there.",
)
@click.option(
    "--host", metavar="ADDRESS", help="Listen on this address (127.0.0.1); beyond this machine only with API keys."
)
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port (8080); 0 takes a free one.")
@click.option("--data-dir", metavar="FOLDER", help="Keep the database and the bodies in this folder (batchgate-data).")
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
@click.option(
    "--no-worker",
    is_flag=True,
    help="Take batches in and show them, and leave their work to `batchgate worker`; needs a database_url.",
)
def serve_command(config: Path | None, *, no_worker: bool, **given: object) -> None:
    """Start the gateway and serve until SIGTERM or Ctrl-C.

    Then it takes no new work and lets the calls under way finish; a second signal gives them up. What is not finished
    goes on when the gateway starts again, or elsewhere.
    """
    settings = settings_of(config, **given)
    role: Role = "gateway" if no_worker else "both"
    asyncio.run(serve(settings, partial(announce_gateway, settings), role=role))


def settings_of(config: Path | None, **given: object) -> Settings:
    """Read the settings of a process that is about to start, and do as they say from here on."""
    restrict_umask()
    settings = load_settings(config, os.environ, **given)
    log_to_stderr(settings.log_level, settings.log_format)
    for variable in unknown_variables(settings, os.environ):
        logger.warning("%s is not a setting and has no effect", variable, extra={"action": "unknown_variable"})
    if settings.database_url is not None and (settings.blob_url or "file:").startswith("file:"):
        message = "bodies lie in %s: all gateways and workers have to see this folder, or blob_url name a bucket"
        place = blob_location(settings.blob_url, Path(settings.data_dir))
        logger.warning(message, place, extra={"action": "local_blob_storage"})
    return settings
