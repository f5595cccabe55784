"""The option --json: what a command prints is JSON, and so is the error that ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

_META: Final = "batchgate.cli.json"


def json_option(text: str) -> Callable[[F], F]:
    """Return the option for a command, which gets it as ``as_json``; ``text`` is its help."""
    return click.option("--json", "as_json", is_flag=True, is_eager=True, callback=_remember, help=text)


def look_for_json(context: click.Context, words: Sequence[str]) -> None:
    """Remember whether --json is among the words of a command line: after a wrong option no option is read."""
    context.meta[_META] = "--json" in takewhile(lambda word: word != "--", words)


def errors_are_json(context: click.Context) -> bool:
    """Return whether the command that runs was given --json."""
    return bool(context.meta.get(_META))


def _remember(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    context.meta[_META] = value
    return value
