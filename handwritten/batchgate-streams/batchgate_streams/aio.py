"""The functions for asyncio code; `sync` documents each. Threads read and write files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from batchgate_client import AuthenticatedClient, Client
from batchgate_client.models import BatchProgress, UnifiedBatch, UnifiedFile
from batchgate_client.types import UNSET
from batchgate_streams import calls
from batchgate_streams.batch_options import BatchOptions, Lane
from batchgate_streams.calls import Call, Provider
from batchgate_streams.downloads import Download
from batchgate_streams.errors import ConnectionFailed, CutShort, GatewayRefused
from batchgate_streams.event_stream import BatchEvent, EventStream
from batchgate_streams.polling import FINAL, Polling
from batchgate_streams.progress_display import ShowProgress, showing
from batchgate_streams.row_runs import RowRun, TableRow
from batchgate_streams.rows import Row, Rows
from batchgate_streams.uploads import Purpose, Source, Upload, opened

T = TypeVar("T")

__all__ = ["download_file", "download_results", "run", "stream_events", "stream_results", "upload_file", "wait"]


async def upload_file(
    client: AuthenticatedClient | Client,
    source: Source | AsyncIterable[bytes],
    *,
    provider: Provider,
    purpose: Purpose = "batch",
    filename: str | None = None,
    expires_after: int | None = None,
) -> UnifiedFile:
    """Upload a file with one piece in memory at a time; the source may also be an async iterable."""
    upload = Upload(source, purpose=purpose, provider=provider, filename=filename, expires_after=expires_after)
    if isinstance(source, AsyncIterable):
        return await _ask(client, upload.call(aiter(source), None), UnifiedFile.from_dict)
    with opened(source) as (pieces, size):
        return await _ask(client, upload.call(_in_thread(pieces), size), UnifiedFile.from_dict)


async def stream_results(
    client: AuthenticatedClient | Client,
    batch_id: str,
    *,
    provider: Provider | None = None,
    partial: bool = False,
    merged: bool = False,
) -> AsyncGenerator[Row, None]:
    """Yield the results of an ended batch row by row; ``partial`` and ``merged`` are those of `sync`.

    Use `contextlib.aclosing` to close the connection at once when you leave the loop early.
    """
    rows = Rows()
    async with answer(
        client, calls.results_call(batch_id, provider=provider, partial=partial, merged=merged)
    ) as response:
        async for piece in response.aiter_bytes():
            for row in rows.feed(piece):
                yield row
        rows.finish()


async def download_file(client: AuthenticatedClient | Client, file_id: str, to: Path, *, provider: Provider) -> None:
    """Write the content of a file to ``to``; the target appears once it is complete and its digest is right."""
    await _download(client, calls.file_call(file_id, provider=provider), to)


async def download_results(
    client: AuthenticatedClient | Client,
    batch_id: str,
    to: Path,
    *,
    provider: Provider | None = None,
    merged: bool = False,
) -> None:
    """Write the results of an ended batch to ``to``, as `download_file` does; with ``merged``, also its retries'."""
    await _download(client, calls.results_call(batch_id, provider=provider, partial=False, merged=merged), to)


async def wait(
    client: AuthenticatedClient | Client,
    batch_id: str,
    *,
    provider: Provider | None = None,
    poll: float = 2.0,
    timeout: float | None = None,  # noqa: ASYNC109 the limit is for the batch; its error holds the last progress
    progress: ShowProgress = "auto",
) -> UnifiedBatch:
    """Wait until a batch has ended or failed, and return it."""
    call = calls.batch_call(batch_id, provider=UNSET if provider is None else provider)
    with showing(progress) as show:
        return await _wait(
            client,
            batch_id,
            Polling(poll=poll, timeout=timeout, now=time.monotonic()),
            show,
            lambda limit: _ask(client, call | limit, UnifiedBatch.from_dict),
        )


async def run(
    client: AuthenticatedClient | Client,
    rows: Iterable[TableRow],
    *,
    prompt: str,
    model: str,
    system: str | None = None,
    schema: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    prefix: str = "",
    provider: Provider | None = None,
    name: str | None = None,
    lane: Lane | None = None,
    budget_usd: float | None = None,
    idempotency_key: str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 the limit is for the batch; its error holds the last progress
    progress: ShowProgress = "auto",
) -> AsyncGenerator[dict[str, Any], None]:
    """Ask a model about each row, in one batch, and yield the rows in their order with the columns of the answers."""
    options = BatchOptions(provider=provider, name=name, lane=lane, budget_usd=budget_usd)
    with RowRun(rows, prompt=prompt, model=model, system=system, schema=schema, fields=fields, prefix=prefix) as table:
        call = table.call(options, idempotency_key) | {"content": _in_thread(table.content())}
        batch_id = await _ask(client, call, calls.batch_id)
        polling = Polling(poll=2.0, timeout=timeout, now=time.monotonic())
        with showing(progress) as show:
            await _wait(client, batch_id, polling, show, _read_nothing)
        async with aclosing(stream_results(client, batch_id, partial=True)) as results:
            async for result in results:
                yield table.answered(result)
        table.finish()


async def stream_events(
    client: AuthenticatedClient | Client, batch_id: str | None = None, *, last_event_id: str | None = None
) -> AsyncGenerator[BatchEvent, None]:
    """Yield the events of a batch until it has ended, or those of all batches of the workspace, which have no end.

    Use `contextlib.aclosing` to close the connection at once when you leave the loop early.
    """
    stream = EventStream(batch_id, last_event_id)
    while True:
        error: ConnectionFailed | GatewayRefused | None = None
        try:
            async with answer(client, stream.call()) as response:
                stream.begin(response)
                async for piece in response.aiter_raw():
                    for event in stream.feed(piece):
                        yield event
                    if stream.has_ended:
                        break
        except (ConnectionFailed, GatewayRefused) as failure:
            error = failure
        delay = stream.disconnected(error, time.monotonic())
        if delay is None:
            return
        await asyncio.sleep(delay)


async def _wait(
    client: AuthenticatedClient | Client,
    batch_id: str,
    polling: Polling,
    show: Callable[[BatchProgress], None],
    read_final: Callable[[Call], Awaitable[T]],
) -> T:
    """Show the progress until it is final; ``read_final`` takes the timeout of its call, and is retried likewise."""
    while True:
        limit = {"timeout": polling.poll_timeout(time.monotonic())}
        try:
            found = await _ask(client, calls.progress_call(batch_id) | limit, BatchProgress.from_dict)
            final = await read_final(limit) if found.status in FINAL else None
        except (ConnectionFailed, GatewayRefused) as error:
            pause = polling.failed(error, time.monotonic())
        else:
            show(found)
            if final is not None:
                return final
            pause = polling.answered(found, time.monotonic())
        await asyncio.sleep(pause)


async def _read_nothing(_: Call) -> bool:
    return True


@asynccontextmanager
async def answer(client: AuthenticatedClient | Client, call: Call) -> AsyncIterator[httpx2.Response]:
    """Make a call and yield its response after the head; raises `GatewayRefused` for an error."""
    http = client.get_async_httpx_client()
    with calls.failures(ConnectionFailed, call):
        response = await http.send(http.build_request(**call), stream=True)
    with calls.failures(CutShort, call):
        async with aclosing(response):
            if not response.is_success:
                await response.aread()
                raise calls.refused(response)
            yield response


async def _ask(client: AuthenticatedClient | Client, call: Call, from_dict: Callable[[Mapping[str, Any]], T]) -> T:
    async with answer(client, call) as response:
        await response.aread()
        return calls.as_model(response, from_dict)


async def _download(client: AuthenticatedClient | Client, call: Call, to: Path) -> None:
    with Download(call, to) as download:
        while True:
            try:
                async with answer(client, download.call()) as response:
                    download.begin(response)
                    async for piece in response.aiter_raw():
                        await asyncio.to_thread(download.write, piece)
            except ConnectionFailed as error:
                await asyncio.sleep(download.interrupted(error))
            else:
                await asyncio.to_thread(download.finish)
                return


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read blocking pieces in a thread."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
