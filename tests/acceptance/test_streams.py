"""Uploads, downloads, results and waiting with batchgate_streams, sync and async, against a live gateway."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import batchgate_streams
from batchgate_client import AuthenticatedClient
from batchgate_client.api.batch_control import pause_batch
from batchgate_client.api.message_batches import cancel_message_batch, create_message_batch
from batchgate_client.api.unified_batches import create_unified_batch
from batchgate_client.api.unified_files import list_unified_files
from batchgate_client.models import (
    BatchProgress,
    CreateMessageBatch,
    CreateUnifiedBatch,
    MessageBatch,
    MessageBatchRequest,
    RawObject,
    UnifiedBatch,
    UnifiedFileList,
)
from batchgate_streams import (
    ActionEvent,
    ConnectionFailed,
    CutShort,
    GatewayRefused,
    SourceChanged,
    StatusEvent,
    WaitTimedOut,
    aio,
)
from tests.acceptance.conftest import API_KEY
from tests.support.cutting_proxy import CuttingProxy
from tests.support.gateway_process import GatewayProcess

Call: TypeAlias = Callable[..., Any]
LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'
MEGABYTE = 1024 * 1024


def make_client(url: str, token: str = API_KEY) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=url, token=token)


def call_sync(name: str, url: str, *arguments: Any, token: str = API_KEY, **options: Any) -> Any:
    with make_client(url, token) as client:
        found = getattr(batchgate_streams, name)(client, *arguments, **options)
        return list(found) if inspect.isgenerator(found) else found


def call_async(name: str, url: str, *arguments: Any, token: str = API_KEY, **options: Any) -> Any:
    async def run() -> Any:
        async with make_client(url, token) as client:
            found = getattr(aio, name)(client, *arguments, **options)
            return [row async for row in found] if inspect.isasyncgen(found) else await found

    return asyncio.run(run())


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    function: Call = request.param
    return function


def list_file_ids(gateway: GatewayProcess) -> set[str]:
    with make_client(gateway.url) as client:
        page = list_unified_files.sync(client=client, provider="mistral")
        assert isinstance(page, UnifiedFileList)
        return {file.id for file in page.data}


def create(gateway: GatewayProcess, models: list[str], **headers: Any) -> str:
    """Create a batch with one request to each of these models and return its id."""
    params = {"max_tokens": 16, "messages": [{"role": "user", "content": "Hello, läufe\u2028漢字"}]}
    requests = [
        MessageBatchRequest(f"r-{number}", RawObject.from_dict({"model": model, **params}))
        for number, model in enumerate(models)
    ]
    with make_client(gateway.url) as client:
        batch = create_message_batch.sync(client=client, body=CreateMessageBatch(requests=requests), **headers)
    assert isinstance(batch, MessageBatch)
    return batch.id


@pytest.fixture(scope="module")
def ended_batch(gateway: GatewayProcess) -> str:
    """Run a batch until it has ended; its results are larger than one piece of a download."""
    batch_id = create(gateway, ["simulated"] * 2000)
    call_sync("wait", gateway.url, batch_id, provider="anthropic", poll=0.1)
    return batch_id


def split_line(size: int) -> Iterator[bytes]:
    yield b""
    yield from (LINE[at : at + size] for at in range(0, len(LINE), size))


async def split_line_async() -> AsyncIterator[bytes]:
    for piece in split_line(7):
        await asyncio.sleep(0)
        yield piece


def test_a_path_is_uploaded_under_its_name_and_downloaded_unchanged(
    call: Call, gateway: GatewayProcess, tmp_path: Path
) -> None:
    path = tmp_path / 'läufe 漢字 "1".jsonl'
    path.write_bytes(LINE * 10_000)
    file = call("upload_file", gateway.url, path, provider="mistral")
    assert (file.filename, file.bytes_, file.purpose) == (path.name, len(LINE) * 10_000, "batch")
    assert file.extra_fields.provider == "mistral"
    call("download_file", gateway.url, file.id, tmp_path / "back", provider="mistral")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert {found.name for found in tmp_path.iterdir()} == {"back", path.name}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: split_line(7), id="iterator"),
        pytest.param(lambda: [LINE[:5], LINE[5:]], id="list"),
        pytest.param(lambda: io.BytesIO(LINE), id="file object"),
    ],
)
def test_every_kind_of_source_is_uploaded(call: Call, gateway: GatewayProcess, tmp_path: Path, source: Call) -> None:
    file = call("upload_file", gateway.url, source(), provider="mistral", filename="a.jsonl", expires_after=3600)
    assert (file.filename, file.bytes_, file.expires_at - file.created_at) == ("a.jsonl", len(LINE), 3600)
    call("download_file", gateway.url, file.id, tmp_path / "back", provider="mistral")
    assert (tmp_path / "back").read_bytes() == LINE


def test_a_file_object_is_uploaded_from_its_current_position(
    call: Call, gateway: GatewayProcess, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"header\n" + LINE)
    with path.open("rb") as source:
        source.readline()
        file = call("upload_file", gateway.url, source, provider="mistral")
    assert (file.filename, file.bytes_) == ("a.jsonl", len(LINE))


def test_an_asynchronous_source_is_uploaded(gateway: GatewayProcess) -> None:
    file = call_async("upload_file", gateway.url, split_line_async(), provider="mistral")
    assert (file.filename, file.bytes_) == ("upload", len(LINE))


@pytest.mark.parametrize("source", ["a.jsonl", LINE])
def test_an_upload_refuses_text_and_bytes_as_sources(call: Call, gateway: GatewayProcess, source: object) -> None:
    with pytest.raises(TypeError, match="source: a Path, a binary file or an iterable of bytes, not"):
        call("upload_file", gateway.url, source, provider="mistral")


def test_content_that_contains_a_form_is_stored_byte_for_byte(
    call: Call, gateway: GatewayProcess, tmp_path: Path
) -> None:
    content = (
        b'\r\n--+++\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n--+++--\r\n' * 50 + b"--\r\n"
    )
    file = call("upload_file", gateway.url, [content], provider="mistral", purpose="user_data")
    assert (file.bytes_, file.purpose) == (len(content), "user_data")
    call("download_file", gateway.url, file.id, tmp_path / "back", provider="mistral")
    assert (tmp_path / "back").read_bytes() == content


def test_a_file_of_64_mb_is_uploaded_and_downloaded_in_little_memory(
    call: Call, gateway: GatewayProcess, tmp_path: Path
) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as large:
        large.truncate(64 * MEGABYTE)
    call("upload_file", gateway.url, [b"warm"], provider="mistral", purpose="user_data")
    tracemalloc.start()
    file = call("upload_file", gateway.url, path, provider="mistral", purpose="user_data")
    call("download_file", gateway.url, file.id, tmp_path / "back", provider="mistral")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert file.bytes_ == (tmp_path / "back").stat().st_size == 64 * MEGABYTE
    assert peak < 4 * MEGABYTE


def test_a_source_that_raises_leaves_no_file(call: Call, gateway: GatewayProcess) -> None:
    def broken() -> Iterator[bytes]:
        yield LINE
        raise ZeroDivisionError

    before = list_file_ids(gateway)
    with pytest.raises(ZeroDivisionError):
        call("upload_file", gateway.url, broken(), provider="mistral")
    assert list_file_ids(gateway) == before


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_changes_during_its_upload_is_not_stored(
    call: Call, gateway: GatewayProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINE)
    original_fstat = os.fstat

    def truncate_after_fstat(descriptor: int) -> os.stat_result:
        status = original_fstat(descriptor)
        os.truncate(path, len(LINE) + change)
        return status

    before = list_file_ids(gateway)
    with monkeypatch.context() as patched:
        patched.setattr("batchgate_streams.uploads.os.fstat", truncate_after_fstat)
        with pytest.raises(SourceChanged, match=r"a\.jsonl: its size was"):
            call("upload_file", gateway.url, path, provider="mistral")
    assert list_file_ids(gateway) == before


def test_a_refused_call_raises_the_error_of_the_gateway(call: Call, gateway: GatewayProcess, tmp_path: Path) -> None:
    with pytest.raises(GatewayRefused, match="provider: 'nobody' is not configured") as provider:
        call("upload_file", gateway.url, [LINE], provider="nobody")
    assert (provider.value.status, provider.value.refusal.param) == (400, "provider")
    assert str(provider.value.refusal.request_id).startswith("req_")
    with pytest.raises(GatewayRefused) as unauthorized:
        call("upload_file", gateway.url, [bytes(MEGABYTE)] * 32, provider="mistral", token="wrong")
    assert unauthorized.value.status == 401
    with pytest.raises(GatewayRefused) as missing:
        call("download_file", gateway.url, "file-nobody", tmp_path / "back", provider="mistral")
    assert missing.value.status == 404
    for name, options in (
        ("wait", {"provider": "anthropic"}),
        ("stream_results", {"provider": "anthropic"}),
        ("stream_events", {}),
    ):
        with pytest.raises(GatewayRefused) as nobody:
            call(name, gateway.url, "batch_nobody", **options)
        assert nobody.value.status == 404
    assert list(tmp_path.iterdir()) == []


def test_a_call_without_a_server_raises_connection_failed(call: Call) -> None:
    with pytest.raises(ConnectionFailed, match=r"POST /v1/files: no answer came"):
        call("upload_file", "http://127.0.0.1:1", [LINE], provider="mistral")


def test_results_are_streamed_row_by_row(call: Call, gateway: GatewayProcess, ended_batch: str) -> None:
    rows = call("stream_results", gateway.url, ended_batch, provider="anthropic")
    assert [row["custom_id"] for row in rows] == [f"r-{number}" for number in range(2000)]
    assert rows[0]["result"]["message"]["content"][0]["text"] == "You said: Hello, läufe\u2028漢字"


def test_results_that_break_off_raise_cut_short(call: Call, gateway: GatewayProcess, ended_batch: str) -> None:
    with CuttingProxy(gateway.url, cuts=[3000]) as proxy, pytest.raises(CutShort, match="the answer broke off"):
        call("stream_results", proxy.url, ended_batch, provider="anthropic")


def test_results_are_written_to_a_file(call: Call, gateway: GatewayProcess, ended_batch: str, tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    target.write_text("older")
    call("download_results", gateway.url, ended_batch, target, provider="anthropic")
    rows = [json.loads(line) for line in target.read_bytes().splitlines()]
    assert rows == call("stream_results", gateway.url, ended_batch, provider="anthropic")


def test_a_download_that_breaks_off_continues_where_it_stopped(
    call: Call, gateway: GatewayProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgate_streams.downloads.RETRY_DELAY", 0)
    content = os.urandom(MEGABYTE)
    file = call("upload_file", gateway.url, [content], provider="mistral", purpose="user_data")
    with CuttingProxy(gateway.url, cuts=[700_000, 10, 200_000]) as proxy:
        call("download_file", proxy.url, file.id, tmp_path / "back", provider="mistral")
        ranges = [head.lower().partition(b"range: bytes=")[2].partition(b"-")[0] for head in proxy.requests]
    assert (tmp_path / "back").read_bytes() == content
    starts = [int(start or 0) for start in ranges]
    assert starts[0] == 0 < starts[1] == starts[2] < starts[3] < MEGABYTE


def test_a_download_that_never_completes_leaves_the_old_file_unchanged(
    call: Call, gateway: GatewayProcess, ended_batch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgate_streams.downloads.RETRY_DELAY", 0)
    (tmp_path / "results.jsonl").write_text("older")
    with CuttingProxy(gateway.url, cuts=[5000] + [100] * 50) as proxy, pytest.raises(ConnectionFailed):
        call("download_results", proxy.url, ended_batch, tmp_path / "results.jsonl", provider="anthropic")
    assert (tmp_path / "results.jsonl").read_text() == "older"
    assert list(tmp_path.iterdir()) == [tmp_path / "results.jsonl"]


def test_waiting_reports_progress_and_partial_results_can_be_read_meanwhile(
    call: Call, gateway: GatewayProcess
) -> None:
    batch_id = create(gateway, ["slow", "simulated", "slow"])
    reported: list[BatchProgress] = []
    partial_results: list[list[str]] = []

    def record_progress(progress: BatchProgress) -> None:
        reported.append(progress)
        if progress.succeeded == 1:
            rows = call_sync("stream_results", gateway.url, batch_id, partial=True)
            partial_results.append([row["custom_id"] for row in rows])

    final = call("wait", gateway.url, batch_id, provider="anthropic", poll=0.1, progress=record_progress)
    assert (final.id, final.status, final.request_counts.completed) == (batch_id, "ended", 3)
    assert (reported[0].status, reported[-1].status, reported[-1].succeeded) == ("in_progress", "ended", 3)
    assert partial_results[0] == ["r-1"]


def test_an_uploaded_file_runs_as_a_batch_and_its_results_are_streamed(call: Call, gateway: GatewayProcess) -> None:
    body = {"model": "simulated", "messages": [{"role": "user", "content": "Hello"}]}
    rows = [{"custom_id": f"r-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body} for n in range(50)]
    pieces = (json.dumps(row).encode() + b"\n" for row in rows)
    file = call("upload_file", gateway.url, pieces, provider="anthropic", filename="a.jsonl")
    with make_client(gateway.url) as client:
        create = CreateUnifiedBatch(input_file_id=file.id, endpoint="/v1/chat/completions")
        batch = create_unified_batch.sync(client=client, body=create, provider="anthropic")
    assert isinstance(batch, UnifiedBatch)
    ended = call("wait", gateway.url, batch.id, provider="anthropic", poll=0.1)
    assert (ended.status, ended.request_counts.completed) == ("completed", 50)
    results = call("stream_results", gateway.url, batch.id, provider="anthropic")
    assert [row["custom_id"] for row in results] == [row["custom_id"] for row in rows]
    assert results[0]["response"]["body"]["choices"][0]["message"]["content"] == "You said: Hello"


def test_waiting_for_a_batch_that_fails_returns_its_errors(call: Call, gateway: GatewayProcess) -> None:
    file = call("upload_file", gateway.url, [LINE, b"nonsense\n"], provider="anthropic", filename="a.jsonl")
    with make_client(gateway.url) as client:
        create = CreateUnifiedBatch(input_file_id=file.id, endpoint="/v1/chat/completions")
        batch = create_unified_batch.sync(client=client, body=create, provider="anthropic")
    assert isinstance(batch, UnifiedBatch)
    failed = call("wait", gateway.url, batch.id, provider="anthropic", poll=0.1)
    assert failed.status == "failed"
    assert 2 in [error.line for error in failed.errors.data]


def test_waiting_raises_when_its_timeout_has_passed(call: Call, gateway: GatewayProcess) -> None:
    batch_id = create(gateway, ["slow"])
    with pytest.raises(WaitTimedOut, match=r"not ended after 0\.2 s"):
        call("wait", gateway.url, batch_id, provider="anthropic", poll=0.05, timeout=0.2)


def test_waiting_continues_after_broken_connections(call: Call, gateway: GatewayProcess, ended_batch: str) -> None:
    with CuttingProxy(gateway.url, cuts=[10, 10]) as proxy:
        assert call("wait", proxy.url, ended_batch, provider="anthropic", poll=0.05).status == "ended"
        assert len(proxy.requests) == 3


def test_events_go_on_after_broken_connections_and_end_with_the_batch(
    call: Call, gateway: GatewayProcess, ended_batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgate_streams.event_stream.LONGEST_RETRY_DELAY", 0.1)
    batch_id = create(gateway, ["slow"] * 100, batchgate_concurrency=1)  # does not end before it is canceled

    def cancel() -> None:
        with make_client(gateway.url) as client:
            cancel_message_batch.sync(client=client, message_batch_id=batch_id)

    in_the_head, after_an_event = 100, b"\n\n\r\n"
    with CuttingProxy(gateway.url, cuts=[in_the_head, after_an_event], on_uncut=cancel) as proxy:
        events = call("stream_events", proxy.url, batch_id)
        last_ids = [head.lower().partition(b"last-event-id: ")[2].partition(b"\r")[0] for head in proxy.requests]
    assert [event.batch.status for event in events if isinstance(event, StatusEvent)][-1] == "ended"
    assert {event.batch.id for event in events} == {batch_id}
    assert events[-1].batch.canceled > 0
    assert last_ids[:2] == [b"", b""]
    assert int(last_ids[2]) < int(events[-1].last_event_id)
    ended = call("stream_events", gateway.url, ended_batch)
    assert [(type(event), event.batch.status) for event in ended] == [(StatusEvent, "ended")]


def test_events_show_actions_and_all_batches_of_the_workspace(gateway: GatewayProcess) -> None:
    batch_id = create(gateway, ["slow"])
    with make_client(gateway.url) as client, closing(batchgate_streams.stream_events(client)) as events:
        next(event for event in events if isinstance(event, StatusEvent) and event.batch.id == batch_id)
        pause_batch.sync(client=client, batch_id=batch_id, reason="why")
        paused = next(event for event in events if isinstance(event, ActionEvent))
    assert (paused.action.id, paused.action.action, paused.action.detail) == (batch_id, "paused", "why")
