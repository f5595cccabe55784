"""The functions for blocking code; `aio` has the same ones for async code."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
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


def upload_file(
    client: AuthenticatedClient | Client,
    source: Source,
    *,
    provider: Provider,
    purpose: Purpose = "batch",
    filename: str | None = None,
    expires_after: int | None = None,
) -> UnifiedFile:
    """Upload a file with one piece in memory at a time, and return the file object.

    The file name is that of the path, or ``filename``; the gateway keeps the file for ``expires_after`` seconds. An
    upload is never repeated. Raises `GatewayRefused`, `ConnectionFailed`, `SourceChanged`, and what the source raises.
    Then nothing is stored, except perhaps after a `ConnectionFailed`.
    """
    upload = Upload(source, purpose=purpose, provider=provider, filename=filename, expires_after=expires_after)
    with opened(source) as (pieces, size):
        return _ask(client, upload.call(pieces, size), UnifiedFile.from_dict)


def stream_results(
    client: AuthenticatedClient | Client,
    batch_id: str,
    *,
    provider: Provider | None = None,
    partial: bool = False,
    merged: bool = False,
) -> Iterator[Row]:
    """Yield the results of an ended batch row by row; with ``partial``, the results so far, also of a running batch.

    With ``merged``, the results of its retries are in the places of its own. ``provider`` is one of the batch's
    providers; partial and merged results do not need it. Raises `GatewayRefused`, `ConnectionFailed`, `CutShort` when
    the results break off, and `UnusableAnswer`.
    """
    rows = Rows()
    with answer(client, calls.results_call(batch_id, provider=provider, partial=partial, merged=merged)) as response:
        for piece in response.iter_bytes():
            yield from rows.feed(piece)
        rows.finish()


def download_file(client: AuthenticatedClient | Client, file_id: str, to: Path, *, provider: Provider) -> None:
    """Write the content of a file to ``to``; the target appears once it is complete and its digest is right.

    An interrupted download is resumed. Raises `GatewayRefused`,
    `ConnectionFailed`, `UnusableAnswer`, and OSError if the file cannot be written.
    """
    _download(client, calls.file_call(file_id, provider=provider), to)


def download_results(
    client: AuthenticatedClient | Client,
    batch_id: str,
    to: Path,
    *,
    provider: Provider | None = None,
    merged: bool = False,
) -> None:
    """Write the results of an ended batch to ``to``, as `download_file` does; with ``merged``, also its retries'.

    ``provider`` is one of the batch's providers; merged results do not need it.
    """
    _download(client, calls.results_call(batch_id, provider=provider, partial=False, merged=merged), to)


def wait(
    client: AuthenticatedClient | Client,
    batch_id: str,
    *,
    provider: Provider | None = None,
    poll: float = 2.0,
    timeout: float | None = None,
    progress: ShowProgress = "auto",
) -> UnifiedBatch:
    """Wait until a batch has ended or failed, and return it.

    It polls often at first, then every ``poll`` seconds, and calls ``progress`` with each answer. By default that is
    a bar in a terminal or a notebook, and a line on stderr every minute elsewhere. ``provider`` is one of the batch's
    providers, needed if the gateway has no default account. The gateway may be unreachable or overloaded for a minute;
    Retry-After is obeyed. Raises `WaitTimedOut` after ``timeout`` seconds, `GatewayRefused`, `ConnectionFailed`.
    """
    call = calls.batch_call(batch_id, provider=UNSET if provider is None else provider)
    with showing(progress) as show:
        return _wait(
            client,
            batch_id,
            Polling(poll=poll, timeout=timeout, now=time.monotonic()),
            show,
            lambda limit: _ask(client, call | limit, UnifiedBatch.from_dict),
        )


def run(
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
    timeout: float | None = None,
    progress: ShowProgress = "auto",
) -> Generator[dict[str, Any], None, None]:
    """Ask a model about each row, in one batch, and yield the rows in their order with the columns of the answers.

    ``rows`` are dicts or other mappings: a list, a generator, a dataset. ``{column}`` in ``prompt`` and ``system``
    stands for a value of the row, ``{{`` and ``}}`` for braces. The new columns are ``answer``, ``error``,
    ``finish_reason``, ``input_tokens``, ``output_tokens`` and ``cost_usd``, each after ``prefix``, and before them the
    properties of ``schema``, a JSON schema. ``fields`` are other fields of each request, such as ``max_tokens``.

    The batch is created when the first row is asked for. With the same rows and ``idempotency_key`` it is created once.
    Rows wait in a temporary file. Raises `UnusableRow`, and what `wait` and `stream_results` raise.
    """
    options = BatchOptions(provider=provider, name=name, lane=lane, budget_usd=budget_usd)
    with RowRun(rows, prompt=prompt, model=model, system=system, schema=schema, fields=fields, prefix=prefix) as table:
        call = table.call(options, idempotency_key) | {"content": table.content()}
        batch_id = _ask(client, call, calls.batch_id)
        with showing(progress) as show:
            _wait(client, batch_id, Polling(poll=2.0, timeout=timeout, now=time.monotonic()), show, lambda _: True)
        for result in stream_results(client, batch_id, partial=True):
            yield table.answered(result)
        table.finish()


def stream_events(
    client: AuthenticatedClient | Client, batch_id: str | None = None, *, last_event_id: str | None = None
) -> Generator[BatchEvent, None, None]:
    """Yield the events of a batch until it has ended, or those of all batches of the workspace, which have no end.

    It begins with the present state. After a broken connection it goes on where it was, so no event is missing, but
    some may come twice; ``last_event_id``, that of an event, does so in another process. The gateway may be unreachable
    or overloaded for a minute; Retry-After is obeyed. Raises `GatewayRefused`, `ConnectionFailed`, `UnusableAnswer`.
    """
    stream = EventStream(batch_id, last_event_id)
    while True:
        error: ConnectionFailed | GatewayRefused | None = None
        try:
            with answer(client, stream.call()) as response:
                stream.begin(response)
                for piece in response.iter_raw():
                    yield from stream.feed(piece)
                    if stream.has_ended:
                        break
        except (ConnectionFailed, GatewayRefused) as failure:
            error = failure
        delay = stream.disconnected(error, time.monotonic())
        if delay is None:
            return
        time.sleep(delay)


def _wait(
    client: AuthenticatedClient | Client,
    batch_id: str,
    polling: Polling,
    show: Callable[[BatchProgress], None],
    read_final: Callable[[Call], T],
) -> T:
    """Show the progress until it is final; ``read_final`` takes the timeout of its call, and is retried likewise."""
    while True:
        limit = {"timeout": polling.poll_timeout(time.monotonic())}
        try:
            found = _ask(client, calls.progress_call(batch_id) | limit, BatchProgress.from_dict)
            final = read_final(limit) if found.status in FINAL else None
        except (ConnectionFailed, GatewayRefused) as error:
            pause = polling.failed(error, time.monotonic())
        else:
            show(found)
            if final is not None:
                return final
            pause = polling.answered(found, time.monotonic())
        time.sleep(pause)


@contextmanager
def answer(client: AuthenticatedClient | Client, call: Call) -> Iterator[httpx2.Response]:
    """Make a call and yield its response after the head; raises `GatewayRefused` for an error."""
    http = client.get_httpx_client()
    with calls.failures(ConnectionFailed, call):
        response = http.send(http.build_request(**call), stream=True)
    with calls.failures(CutShort, call), closing(response):
        if not response.is_success:
            response.read()
            raise calls.refused(response)
        yield response


def _ask(client: AuthenticatedClient | Client, call: Call, from_dict: Callable[[Mapping[str, Any]], T]) -> T:
    with answer(client, call) as response:
        response.read()
        return calls.as_model(response, from_dict)


def _download(client: AuthenticatedClient | Client, call: Call, to: Path) -> None:
    with Download(call, to) as download:
        while True:
            try:
                with answer(client, download.call()) as response:
                    download.begin(response)
                    for piece in response.iter_raw():
                        download.write(piece)
            except ConnectionFailed as error:
                time.sleep(download.interrupted(error))
            else:
                download.finish()
                return
