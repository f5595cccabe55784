"""Groups of commands of which ``list`` is the one that runs when none is named, as in ``batchgate accounts``."""

from __future__ import annotations

import click

DEFAULT = "list"


class ListingGroup(click.Group):
    """A group that lists what there is when no command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the command ``list`` if the words begin with no command and no help option."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)
