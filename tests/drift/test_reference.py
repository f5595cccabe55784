"""The reference documents every operation, command, setting and error class."""

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
SETTINGS_STRUCTS = (Settings, AccountSettings, PriceSettings, ApiKeySettings)
SETTINGS = sorted({field for kind in SETTINGS_STRUCTS for field in kind.__struct_fields__})


def commands(group: click.Group, *parents: str) -> Iterator[str]:
    """Yield the commands of a group and of the groups in it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from commands(command, *parents, name)
        else:
            yield " ".join((*parents, name))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_the_reference_lists_an_operation_with_its_method_and_path(operation: Operation) -> None:
    assert f"| `{operation.id}` | `{operation.method} {operation.paths[0]}` |" in REFERENCE


def test_the_reference_lists_exactly_the_commands_that_exist() -> None:
    _, _, behind = REFERENCE.partition("\n## Commands\n")
    table, _, _ = behind.partition("\n## ")
    named = re.findall(r"^\| `([a-z -]*[a-z])(?: [A-Z]+)?` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(commands(main))


@pytest.mark.parametrize("name", SETTINGS)
def test_the_reference_documents_a_setting(name: str) -> None:
    assert f"\n| `{name}` |" in REFERENCE, f"document {name} in handwritten/docs/reference.md"


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_the_reference_documents_an_error_class(kind: str) -> None:
    assert f"\n| `{kind}` |" in REFERENCE, f"document {kind} in handwritten/docs/reference.md"
