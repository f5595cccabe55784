"""The part of the engine that calls providers: a router, an executor, and requests to run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from batchgate.app import ROWS
from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.provider_call import Account
from batchgate.engine.model.shard import ResultLine
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.provider import Transport
from batchgate.engine.ports.telemetry import NoTelemetry
from batchgate.providers.dialects.line_translator import DialectLineTranslator
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.responses.usage_meter import UsageMeter


def account(**fields: Any) -> Account:
    """Make an account named ``a``."""
    return Account(**({"name": "a", "provider": "anthropic", "base_url": "https://up.example"} | fields))


def batch(key: int = 1) -> Batch:
    """Make a batch that runs on the account ``a``."""
    return Batch(
        key=key,
        id=f"batch_{key}",
        workspace="default",
        dialect="anthropic",
        provider="a",
        headers={},
        status="in_progress",
        counts=Counts(total=1),
        repeated=0,
        created_at=0,
        expires_at=1,
        cancel_initiated_at=None,
        ended_at=None,
        archived_at=None,
        fingerprint=b"",
        input_blob="",
        results_blob=None,
        results_size=None,
    )


def line(number: int, model: str = "m", max_tokens: int = 16) -> bytes:
    """Write an input line."""
    params = {"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": f"{number}"}]}
    return msgspec.json.encode({"custom_id": f"r{number}", "params": params}) + b"\n"


@dataclass
class EngineParts:
    """A router with one account, and an executor on it."""

    endpoint: AccountEndpoint
    router: Router
    executor: Executor

    async def run(self, number: int = 0, *, model: str = "m", key: int = 1) -> ResultLine:
        """Run one request."""
        request = self.executor.prepare(batch(key), number, line(number, model))
        if isinstance(request, ResultLine):
            return request
        return await self.executor.run(batch(key), request, lambda _: None)

    async def run_all(self, requests: int, *, model: str = "m", key: int = 1) -> list[ResultLine]:
        """Run many requests concurrently."""
        return await asyncio.gather(*(self.run(number, model=model, key=key) for number in range(requests)))


async def no_secret(name: str, _setting: str) -> str:
    """Fail, as a reader of secrets in a database without any."""
    raise AssertionError(name)


def parts(
    transport: Transport, *, read_key: Callable[[], Awaitable[str]] | None = None, seed: int = 1, **fields: Any
) -> EngineParts:
    """Build the parts around a transport; ``fields`` are those of the account."""
    endpoint = AccountEndpoint(
        account=account(**fields),
        handler=AnthropicHandler(),
        transport=transport,
        meter=UsageMeter(),
        read_key=read_key,
    )
    router = Router([endpoint], random.Random(seed))
    executor = Executor(router, ROWS, DialectLineTranslator(), random.Random(seed), NoTelemetry())
    return EngineParts(endpoint, router, executor)
