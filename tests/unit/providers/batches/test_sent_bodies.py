"""Bodies of calls: they have a length, and nothing is sent of one that cannot be made."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchgate.engine.model.errors import BlobError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import Recorder, job
from tests.unit.providers.calls import account

ROW = PlannedRow(row_id="r0", line=b'{"n":' + b"1" * 400_000 + b"}")


async def broken() -> AsyncIterator[PlannedRow]:
    yield ROW
    raise ValueError("no such row")


async def three_rows() -> AsyncIterator[PlannedRow]:
    for _ in range(3):
        yield ROW


async def send(client: MakeClient, provider: str, rows: AsyncIterator[PlannedRow]) -> None:
    """Send rows by the call of a provider that carries them."""
    if provider == "openai":
        made = client(provider)
        await made.batches.upload(made.account, job(), rows)
    else:
        made = client(provider, "")
        await made.batches.create(made.account, job(), rows)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_large_body_is_sent_whole_with_its_length(
    client: MakeClient, recorder: Recorder, provider: str
) -> None:
    recorder.answer("POST /v1/files", {"id": "f", "status": "processed"})
    recorder.answer("POST /v1/messages/batches", {"id": "b", "processing_status": "in_progress"})
    await send(client, provider, three_rows())
    (call,) = recorder.calls
    assert "transfer-encoding" not in call.headers
    assert int(call.headers["content-length"]) == len(call.body)
    assert call.body.count(ROW.line) == 3


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_nothing_is_sent_if_a_row_cannot_be_read(client: MakeClient, recorder: Recorder, provider: str) -> None:
    with pytest.raises(ValueError, match="no such row"):
        await send(client, provider, broken())
    assert recorder.calls == []


async def test_a_body_is_made_while_the_one_before_is_sent_and_not_earlier(
    exchange: HttpExchange, recorder: Recorder
) -> None:
    made = list[str]()

    async def body(name: str) -> AsyncIterator[bytes]:
        for _ in range(3):
            made.append(name)
            yield ROW.line
            await asyncio.sleep(0)

    async def upload(name: str) -> None:
        call = HttpCall(method="POST", url=f"{recorder.url}/{name}", headers={}, body=body(name))
        await exchange.send(account(base_url=recorder.url), call)

    recorder.answer("POST /a", {})
    recorder.answer("POST /b", {})
    await asyncio.gather(upload("a"), upload("b"))
    assert sorted(recorder.lines) == ["POST /a", "POST /b"]
    assert made in (["a"] * 3 + ["b"] * 3, ["b"] * 3 + ["a"] * 3)


async def test_a_full_disk_is_a_storage_error_and_not_the_providers(
    exchange: HttpExchange, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    call = HttpCall(method="POST", url=f"{recorder.url}/v1/files", headers={}, body=body())
    with pytest.raises(BlobError, match="temporary folder: No such file or directory"):
        await exchange.send(account(base_url=recorder.url), call)
    assert recorder.calls == []
