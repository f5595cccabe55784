"""A recording batch API, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import pytest

from batchgate.providers.batches.http_exchange import HttpExchange
from tests.unit.providers.batches.recorder import Client, Recorder, serving

MakeClient: TypeAlias = Callable[..., Client]


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """Start a batch API that records its calls."""
    recorder = Recorder()
    async with serving(recorder):
        yield recorder


@pytest.fixture
async def exchange() -> AsyncIterator[HttpExchange]:
    """Open an HTTP client with default settings."""
    async with HttpExchange() as opened:
        yield opened


@pytest.fixture
def client(recorder: Recorder, exchange: HttpExchange) -> MakeClient:
    """Make clients of the recorder by the provider's name, with a path of the account's URL."""

    def make(provider: str, path: str = "/v1", timeout: float = 20.0) -> Client:
        return Client(provider, recorder.url + path, exchange, timeout)

    return make
