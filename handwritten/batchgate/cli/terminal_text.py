"""Texts for a terminal: what came from a gateway must not move the cursor, set the title or turn text round."""

from __future__ import annotations

import click

_KEPT = frozenset("\n\t")


def printable(text: str) -> str:
    r"""Return a text with every character that does not print as an escape such as ``\x1b``; line ends stay."""
    return "".join(
        character if character.isprintable() or character in _KEPT else _escape(character) for character in text
    )


def say(text: str, *, err: bool = False) -> None:
    """Print a text on stdout, or on stderr."""
    click.echo(printable(text), err=err)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
