"""Models as lines of JSON."""

from __future__ import annotations

import json

import click
import msgspec


def print_json(model: msgspec.Struct) -> None:
    """Print a model as one line of JSON; characters that do not print are escaped as JSON has it."""
    text = msgspec.json.encode(model).decode()
    click.echo("".join(character if character.isprintable() else _json_escape(character) for character in text))


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]
