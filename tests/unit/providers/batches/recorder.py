"""A batch API that answers as it is told, and records what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import NativeResult, ProviderBatches
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.registry.native_lanes import provider_batches

KEY = "sk-very-secret-key"
CREATING_AT = 1_790_000_000_000_000


class Call(msgspec.Struct, frozen=True):
    """One recorded call."""

    line: str
    """The method and the path with its query."""
    headers: dict[str, str]
    body: bytes


class Recorder:
    """Answers each call with the next answer for its method and path; the last one is repeated."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.url = ""
        self._answers: dict[str, list[web.Response]] = {}

    def answer(self, line: str, body: object = None, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Add an answer; bytes are sent as they are, anything else as JSON."""
        sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
        self._answers.setdefault(line, []).append(web.Response(status=status, body=sent, headers=headers))

    async def handle(self, request: web.Request) -> web.Response:
        """Record a call and answer it; 501 for a call that no answer was added for."""
        line = f"{request.method} {request.raw_path}"
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Call(line, headers, await request.read()))
        answers = self._answers.get(line)
        if not answers:
            return web.json_response({"error": {"message": f"no answer for {line}"}}, status=501)
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.Response(status=given.status, body=given.body, headers=given.headers)

    @property
    def lines(self) -> list[str]:
        """The methods and paths of all calls."""
        return [call.line for call in self.calls]


@asynccontextmanager
async def serving(recorder: Recorder) -> AsyncIterator[str]:
    """Serve a recorder, and yield its URL."""
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", recorder.handle)
    async with TestServer(app) as server:
        recorder.url = str(server.make_url("")).rstrip("/")
        yield recorder.url


class Client:
    """A client of one provider's batch API with an account at the recorder."""

    def __init__(self, provider: str, base_url: str, exchange: HttpExchange, timeout: float = 20.0) -> None:
        batches = provider_batches(provider, exchange)
        assert batches is not None
        self.batches: ProviderBatches = batches
        self.account = Account(name="acc", provider=provider, base_url=base_url, api_key=KEY, timeout=timeout)

    async def results(self, found: NativeJob) -> list[NativeResult]:
        """Poll a job and return all its results."""
        upstream = await self.batches.poll(self.account, found)
        assert upstream is not None
        return [result async for group in self.batches.results(self.account, found, upstream) for result in group]


def job(**fields: object) -> NativeJob:
    """Make a job whose create call began at `CREATING_AT`."""
    values: dict[str, object] = {
        "batch_key": 1,
        "token": "tok_1",
        "account": "acc",
        "model": "model",
        "kind": "chat_completions",
        "seqs": b"",
        "requests": 2,
        "sent": 2,
        "tokens": 10,
        "created_at": CREATING_AT,
        "creating_at": CREATING_AT,
        "upstream_id": "batch_1",
        "upstream_file": "file-1",
    }
    return NativeJob(**(values | fields))  # type: ignore[arg-type]


async def rows(planned: Iterable[PlannedRow]) -> AsyncIterator[PlannedRow]:
    """Yield rows as the engine does."""
    for row in planned:
        yield row
