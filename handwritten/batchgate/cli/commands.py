"""The group of all commands.

The module of a command is imported when the command is used: aiohttp alone takes half a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from batchgate import __version__
from batchgate.cli.failures import failures_shown

COMMANDS: Final = {
    "serve": ("batchgate.cli.serve", "Start the gateway."),
    "worker": ("batchgate.cli.worker", "Start a worker for gateways on the same database."),
    "transfer": ("batchgate.cli.transfer", "Copy an installation to another database and place for bodies."),
    "demo": ("batchgate.cli.demo", "Run a batch on a gateway of its own, with a simulated model."),
    "simulate": ("batchgate.cli.simulate", "Serve a simulated model, as an upstream for tests and measurements."),
    "submit": ("batchgate.cli.submit", "Submit a batch, and wait for its results if asked to."),
    "list": ("batchgate.cli.batches", "List batches, the newest first."),
    "show": ("batchgate.cli.batches", "Show one batch."),
    "cancel": ("batchgate.cli.batches", "Stop a batch; what has finished keeps its results."),
    "secrets": ("batchgate.cli.secrets", "Keep keys of providers in the database, encrypted."),
    "results": ("batchgate.cli.batches", "Download the results of a batch that has ended."),
    "workspaces": ("batchgate.cli.workspaces", "Manage workspaces, the tenants of a gateway."),
    "keys": ("batchgate.cli.keys", "Manage the API keys of a gateway's callers."),
}
"""The module of each command, where it stands under its own name with ``_command``, and what it does."""


class LazyGroup(click.Group):
    """A group that imports a command when it is used, and none to list them all."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """Name the commands in the order in which they are met."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the list of commands for ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and show its failure, if it fails."""
        with failures_shown():
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="batchgate %(version)s")
def main() -> None:
    """Batchgate gives every LLM provider a durable batch API.

    Start with `batchgate demo`, which needs no key. `batchgate serve` starts the gateway; the Anthropic SDK talks to it
    at /anthropic, and `submit`, `list`, `show`, `cancel` and `results` are the same operations from a shell.
    """
