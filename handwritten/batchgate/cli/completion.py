"""``batchgate completion``: the script that lets a shell complete commands and options."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = "_BATCHGATE_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options and their values.

    \b
    bash, in ~/.bashrc:                  eval "$(batchgate completion bash)"
    zsh, in ~/.zshrc after compinit:     eval "$(batchgate completion zsh)"
    fish, in config.fish:                batchgate completion fish | source

    Then open a new shell.
    """  # noqa: D301 - click's mark for lines that stay as they are
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "batchgate", VARIABLE).source())
