"""Asks before something is deleted for good."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

yes_option: Final = click.option("--yes", is_flag=True, help="Delete without a question; needed without a terminal.")


def confirm_deletion(what: str, *, yes: bool) -> None:
    """Ask on a terminal whether to delete; without one, only --yes lets it happen. Raises `click.Abort` for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"Nothing is deleted: without a terminal to ask on, add --yes to delete {what}.")
    click.confirm(f"Delete {what}?", abort=True, err=True)
