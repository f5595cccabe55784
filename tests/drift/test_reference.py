"""The reference names every operation, setting and error class."""

from pathlib import Path
from typing import get_args

import pytest

from batchgate.engine.errors import ErrorKind
from batchgate.settings import AccountSettings, ApiKeySettings, PriceSettings, Settings
from batchgate_api.operations import OPERATIONS
from batchgate_api.structs import Operation

REFERENCE = (Path(__file__).parents[2] / "handwritten" / "docs" / "reference.md").read_text()
KINDS = (Settings, AccountSettings, PriceSettings, ApiKeySettings)
SETTINGS = sorted({field for kind in KINDS for field in kind.__struct_fields__})


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_the_reference_names_an_operation_with_its_call(operation: Operation) -> None:
    assert f"| `{operation.id}` | `{operation.method} {operation.paths[0]}` |" in REFERENCE


@pytest.mark.parametrize("name", SETTINGS)
def test_the_reference_names_a_setting(name: str) -> None:
    assert f"\n| `{name}` |" in REFERENCE, f"document {name} in handwritten/docs/reference.md"


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_the_reference_names_an_error_class(kind: str) -> None:
    assert f"\n| `{kind}` |" in REFERENCE, f"document {kind} in handwritten/docs/reference.md"
