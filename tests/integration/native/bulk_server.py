"""A batch API in a process of its own that discards uploads and sends large result files."""

from __future__ import annotations

import asyncio
from tempfile import TemporaryFile
from typing import Final

import msgspec
from aiohttp import web
from fastavro import writer

from batchgate.providers.simulator.batches.cohere_schemas import SCHEMAS

DOWNLOAD_BYTES: Final = 88_000_000
LINE_BYTES: Final = 4_000


async def discard(request: web.Request) -> web.Response:
    """Read a body, and return its size in the id."""
    size = 0
    async for block in request.content.iter_any():
        size += len(block)
    return web.json_response({"id": f"file-{size}", "status": "processed", "processing_status": "in_progress"})


async def send(request: web.Request) -> web.StreamResponse:
    """Send lines of `LINE_BYTES` with different ids."""
    response = web.StreamResponse()
    await response.prepare(request)
    for start in range(0, DOWNLOAD_BYTES // LINE_BYTES, 100):
        await response.write(b"".join(_line(seq) for seq in range(start, start + 100)))
    return response


async def send_job(request: web.Request) -> web.StreamResponse:
    """Send a job with the same lines as its results."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"id":"b","status":"completed","results":[')
    for start in range(0, DOWNLOAD_BYTES // LINE_BYTES, 100):
        lines = b",".join(_line(seq).rstrip() for seq in range(start, start + 100))
        await response.write(lines if start == 0 else b"," + lines)
    await response.write(b"]}")
    return response


async def show_dataset(request: web.Request) -> web.Response:
    """Show a dataset whose one part is Avro."""
    part = {"id": "p", "name": "p", "url": str(request.url.with_path("/part.avro"))}
    return web.json_response({"dataset": {"validation_status": "validated", "dataset_parts": [part]}})


async def send_avro(request: web.Request) -> web.StreamResponse:
    """Send as many records as `send` sends lines, of about the same size."""
    response = web.StreamResponse()
    await response.prepare(request)
    with TemporaryFile() as file:
        writer(file, SCHEMAS["batch-chat-v2-input"], map(_record, range(DOWNLOAD_BYTES // LINE_BYTES)))
        file.seek(0)
        while block := file.read(1024 * 1024):
            await response.write(block)
    return response


def _record(seq: int) -> dict[str, object]:
    message = {"role": "assistant", "content": [{"type": "text", "text": "x" * LINE_BYTES}]}
    return {"custom_id": f"r{seq}", "body": {"id": "c", "finish_reason": "COMPLETE", "message": message}, "error": ""}


def _line(seq: int) -> bytes:
    response = {"status_code": 200, "body": {"text": ""}}
    empty = msgspec.json.encode({"custom_id": f"r{seq}", "response": response, "error": None}) + b"\n"
    return empty.replace(b'"text":""', b'"text":"%s"' % (b"x" * (LINE_BYTES - len(empty))))


async def _serve() -> None:
    app = web.Application()
    app.router.add_post("/v1/files", discard)
    app.router.add_post("/v1/messages/batches", discard)
    app.router.add_get("/v1/files/out/content", send)
    app.router.add_get("/v1/batches/b", send_job)
    app.router.add_get("/v1/datasets/out", show_dataset)
    app.router.add_get("/part.avro", send_avro)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
