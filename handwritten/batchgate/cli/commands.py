"""The group of all commands.

The module of a command is imported when the command is used: aiohttp alone takes half a second.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Final

import click

from batchgate import __version__
from batchgate.cli.failures import failures_shown
from batchgate.cli.json_option import look_for_json

COMMANDS: Final = {
    "init": ("batchgate.cli.init", "Write a first settings file, and test its account."),
    "check": ("batchgate.cli.check", "Check settings, keys, storage and accounts, without starting a gateway."),
    "serve": ("batchgate.cli.serve", "Start the gateway."),
    "worker": ("batchgate.cli.worker", "Start a worker that runs the batches of gateways on the same database."),
    "transfer": ("batchgate.cli.transfer", "Copy an installation to another database and object storage."),
    "demo": ("batchgate.cli.demo", "Run a batch on a temporary gateway with a simulated model."),
    "simulate": ("batchgate.cli.simulate", "Serve a simulated model, a provider for tests and load tests."),
    "run": ("batchgate.cli.run", "Ask a model about each row of a table, and write the answers as columns."),
    "submit": ("batchgate.cli.submit", "Submit a file as a batch; --wait waits for its results."),
    "validate": ("batchgate.cli.validate", "Check a file and estimate its batch, without creating it."),
    "list": ("batchgate.cli.batches", "List batches, newest first."),
    "show": ("batchgate.cli.batches", "Show one batch."),
    "wait": ("batchgate.cli.wait", "Wait until a batch has ended; its exit status says how."),
    "watch": ("batchgate.cli.watch", "Show the progress of one batch, or of all, as it changes."),
    "cancel": ("batchgate.cli.batches", "Cancel a batch; finished requests keep their results."),
    "delete": ("batchgate.cli.deletion", "Delete ended batches, with their requests and results."),
    "pause": ("batchgate.cli.control", "Pause a batch; requests in flight finish."),
    "resume": ("batchgate.cli.control", "Resume a paused batch."),
    "extend": ("batchgate.cli.control", "Give a batch more time before it expires, or less."),
    "budget": ("batchgate.cli.control", "Change what a batch may cost."),
    "priority": ("batchgate.cli.control", "Give a batch a larger or smaller share of your calls."),
    "concurrency": ("batchgate.cli.control", "Change how many calls of a batch may be in flight."),
    "lane": ("batchgate.cli.control", "Move a running batch to another lane."),
    "timeline": ("batchgate.cli.control", "Show who changed a running batch, what, and when."),
    "retry": ("batchgate.cli.retry", "Create a batch of the requests of an ended batch that did not succeed."),
    "usage": ("batchgate.cli.usage", "Show tokens and cost by day, model, account, lane, workspace or key."),
    "accounts": ("batchgate.cli.accounts", "Show and test the provider accounts of the gateway."),
    "models": ("batchgate.cli.accounts", "Show the models that were used lately, with their prices."),
    "files": ("batchgate.cli.files", "List, download and delete files."),
    "secrets": ("batchgate.cli.secrets", "Store provider keys in the database, encrypted."),
    "results": ("batchgate.cli.results", "Download the results of a batch, also as a table or joined to one."),
    "webhooks": ("batchgate.cli.webhooks", "Manage URLs that get signed events of batches."),
    "workspaces": ("batchgate.cli.workspaces", "Manage workspaces (tenants)."),
    "keys": ("batchgate.cli.keys", "Manage the API keys of callers."),
    "completion": ("batchgate.cli.completion", "Print the script for completion in bash, zsh or fish."),
}
"""The module and the summary of each command; the module defines ``NAME_command``."""


class LazyGroup(click.Group):
    """A group that imports the module of a command only when the command is used."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command; a wrong one becomes what click prints."""
        look_for_json(ctx, args)
        with failures_shown(ctx):
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """List the commands in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; the error for an unknown one names the nearest."""
        name = args[0]
        near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        if name not in COMMANDS and not name.startswith("-") and near:
            ctx.fail(f"No such command '{name}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the list of commands for ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; its failure becomes what click prints."""
        with failures_shown(ctx):
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="batchgate %(version)s")
def main() -> None:
    """Batchgate gives every LLM provider a durable batch API.

    Start with `batchgate demo`, which needs no key. `batchgate serve` starts the gateway; point the Anthropic SDK
    at /anthropic and the OpenAI SDK at /openai/v1. `submit`, `list`, `show`, `wait`, `watch`, `cancel` and
    `results` do the same from a shell; `pause`, `resume`, `extend`, `priority`, `concurrency`, `lane` and `retry` are
    Batchgate's own.
    """
