"""``batchgate serve``: starts the gateway and says where it is."""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click

from batchgate import __version__
from batchgate.blobs import place_of
from batchgate.cli.log_output import FORMATS, LEVELS, log_to_stderr
from batchgate.cli.private_files import keep_files_private
from batchgate.installation import Role
from batchgate.server import serve
from batchgate.settings import AccountSettings, Settings, load_settings, unknown_variables

logger = logging.getLogger(__name__)

NO_ACCOUNT = """\
none yet. Set ANTHROPIC_API_KEY, OPENAI_API_KEY, OLLAMA_HOST or VLLM_BASE_URL,
            or write [accounts.NAME] in batchgate.toml; `batchgate demo` needs none."""


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
    asyncio.run(serve(settings, partial(announce, settings), role=role))


def settings_of(config: Path | None, **given: object) -> Settings:
    """Read the settings of a process that is about to start, and do as they say from here on."""
    keep_files_private()
    settings = load_settings(config, os.environ, **given)
    log_to_stderr(settings.log_level, settings.log_format)
    for variable in unknown_variables(settings, os.environ):
        logger.warning("%s is not a setting and has no effect", variable, extra={"action": "unknown_variable"})
    if settings.database_url is not None and (settings.blob_url or "file:").startswith("file:"):
        message = "bodies lie in %s: all gateways and workers have to see this folder, or blob_url name a bucket"
        place = place_of(settings.blob_url, Path(settings.data_dir))
        logger.warning(message, place, extra={"action": "local_bodies"})
    return settings


def announce(settings: Settings, url: str) -> None:
    """Print where the gateway is and what it works with; the URL ends the first line, for programs that wait for it."""
    click.echo(
        f"Batchgate {__version__} listens on {url}\n"
        f'  SDKs      anthropic.Anthropic(base_url="{url}/anthropic")\n'
        f'            openai.OpenAI(base_url="{url}/openai/v1")\n'
        f"{grounds(settings)}"
    )


def grounds(settings: Settings) -> str:
    """Say what a process works with; the database without who it is that connects to it."""
    accounts = ", ".join(_account(name, account) for name, account in settings.accounts.items())
    lines = [f"  Accounts  {accounts or NO_ACCOUNT}"]
    if settings.database_url is None:
        lines.append(f"  Data      {Path(settings.data_dir).resolve()}")
    lines.append(f"  Bodies    {place_of(settings.blob_url, Path(settings.data_dir))}")
    if settings.database_url is not None:
        url = urlsplit(settings.database_url)
        lines.append(f"  Database  PostgreSQL, {url.hostname or 'on this machine'}{url.path}")
    return "\n".join(lines)


def _account(name: str, account: AccountSettings) -> str:
    return name if name == account.provider else f"{name} ({account.provider})"
