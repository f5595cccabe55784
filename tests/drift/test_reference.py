"""The reference names every operation, command, setting and error class."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from batchgate.cli import main
from batchgate.engine.model.errors import ErrorKind
from batchgate.settings import AccountSettings, ApiKeySettings, PriceSettings, Settings
from batchgate_api.operations import OPERATIONS
from batchgate_api.structs import Operation

REFERENCE = (Path(__file__).parents[2] / "handwritten" / "docs" / "reference.md").read_text()
KINDS = (Settings, AccountSettings, PriceSettings, ApiKeySettings)
SETTINGS = sorted({field for kind in KINDS for field in kind.__struct_fields__})


def commands(group: click.Group, *above: str) -> Iterator[str]:
    """Name the commands of a group, and those of the groups in it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield " ".join((*above, name))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_the_reference_names_an_operation_with_its_call(operation: Operation) -> None:
    assert f"| `{operation.id}` | `{operation.method} {operation.paths[0]}` |" in REFERENCE


def test_the_reference_names_the_commands_and_no_others() -> None:
    _, _, behind = REFERENCE.partition("\n## Commands\n")
    table, _, _ = behind.partition("\n## ")
    named = re.findall(r"^\| `([a-z -]*[a-z])(?: [A-Z]+)?` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(commands(main))


@pytest.mark.parametrize("name", SETTINGS)
def test_the_reference_names_a_setting(name: str) -> None:
    assert f"\n| `{name}` |" in REFERENCE, f"document {name} in handwritten/docs/reference.md"


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_the_reference_names_an_error_class(kind: str) -> None:
    assert f"\n| `{kind}` |" in REFERENCE, f"document {kind} in handwritten/docs/reference.md"
