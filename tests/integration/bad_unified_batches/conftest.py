"""The gateway that refuses the invalid unified calls."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.running_app import RunningApp, running_app, simulator


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with two accounts that are named like providers."""
    async with running_app(tmp_path, accounts={"openai": simulator(), "anthropic": simulator()}) as running:
        yield running
