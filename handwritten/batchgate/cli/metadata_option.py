"""The option --metadata of commands: pairs that a batch gets, or that a list of batches is searched for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import click

F = TypeVar("F", bound=Callable[..., Any])


def metadata_option(help_text: str) -> Callable[[F], F]:
    """Add the option --metadata, which may be given several times; the command gets the pairs as a URL-encoded form."""
    return click.option("--metadata", metavar="KEY=VALUE", multiple=True, callback=_form, help=help_text)


def _form(_context: click.Context, _parameter: click.Parameter, pairs: Sequence[str]) -> str | None:
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"write KEY=VALUE, not {pair!r}")
    split = (pair.partition("=") for pair in pairs)
    return urlencode([(key, value) for key, _, value in split]) or None
