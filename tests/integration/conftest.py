"""Fixtures of the integration tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.running_app import RunningApp, running_app


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with a simulator account that answers at once."""
    async with running_app(tmp_path / "data") as app:
        yield app
