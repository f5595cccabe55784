"""A body of very many gzip members or zstd frames is refused soon, and no other call waits for its decoder."""

import asyncio
import gzip
import struct
import sys
import time
from collections.abc import Callable

import msgspec
import pytest

from tests.support.running_app import BATCHES, RunningApp, create_body
from tests.support.unified_batches import BATCHES as UNIFIED

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, compress
else:
    from backports.zstd import ZstdDecompressor, compress

EMPTY_FRAME = compress(b"")
MEGABYTE = 1024 * 1024
SKIPPABLE_FRAME = struct.pack("<II", 0x184D2A50, 4) + b"skip"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
JSON = {"Content-Type": "application/json"}
DOORS = {
    "message batches": (BATCHES, JSON),
    "batches": ("/openai/v1/batches", JSON),
    "unified batches": (f"{UNIFIED}?provider=openai", JSON),
    "files": ("/openai/v1/files", FORM),
    "unified files": ("/v1/files?provider=openai", FORM),
}
"""Every kind of body that a caller may send compressed."""
EACH_DOOR = pytest.mark.parametrize(("path", "headers"), DOORS.values(), ids=DOORS)
REPEATED = {
    "empty frames": ("zstd", EMPTY_FRAME),
    "skippable frames": ("zstd", SKIPPABLE_FRAME),
    "frames of a blank": ("zstd", compress(b" ")),
    "empty members": ("gzip", gzip.compress(b"")),
    "members of a blank": ("gzip", gzip.compress(b" ")),
}


async def refusal(gateway: RunningApp, path: str, headers: dict[str, str], encoding: str, body: bytes) -> str:
    """Send a body that is refused, and return the message."""
    sent = headers | {"Content-Encoding": encoding}
    status, answer = await gateway.call("POST", path, data=body, headers=sent)
    assert status == 400, answer
    message = answer["error"]["message"]
    assert isinstance(message, str)
    return message


@EACH_DOOR
@pytest.mark.parametrize(("encoding", "part"), REPEATED.values(), ids=REPEATED)
async def test_a_body_of_very_many_parts_is_refused(
    gateway: RunningApp, path: str, headers: dict[str, str], encoding: str, part: bytes
) -> None:
    message = await refusal(gateway, path, headers, encoding, part * 20_000)
    assert message.startswith(f"Content-Encoding: the body cannot be decoded as {encoding}: ")
    assert "parts" in message


@EACH_DOOR
async def test_other_calls_do_not_wait_for_a_decoder(gateway: RunningApp, path: str, headers: dict[str, str]) -> None:
    body = EMPTY_FRAME * (MEGABYTE // len(EMPTY_FRAME))
    decoded_here = time_to_decode(MEGABYTE // len(EMPTY_FRAME))
    bodies = [asyncio.create_task(refusal(gateway, path, headers, "zstd", body)) for _ in range(8)]
    waits = [await health_wait(gateway)]
    while not all(task.done() for task in bodies):
        waits.append(await health_wait(gateway))
    await asyncio.gather(*bodies)
    assert max(waits) < decoded_here


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 64 * 1024])
async def test_a_body_of_as_many_parts_as_its_size_explains_is_accepted(
    gateway: RunningApp, encoding: str, size: int
) -> None:
    compressed: Callable[[bytes], bytes] = gzip.compress if encoding == "gzip" else compress
    plain = msgspec.json.encode(create_body(*(f"request-{number}" for number in range(40_000 if size > 1 else 1))))
    beginning, rest = plain[: 12 * size], plain[12 * size :]
    parts = [beginning[start : start + size] for start in range(0, len(beginning), size)]
    body = compressed(b"") * 3 + b"".join(map(compressed, parts)) + compressed(rest)
    status, batch = await gateway.call("POST", BATCHES, data=body, headers=JSON | {"Content-Encoding": encoding})
    assert status == 200, batch


def time_to_decode(frames: int) -> float:
    """Return the seconds that so many empty frames take on this machine now, one after the other."""
    start = time.monotonic()
    for _ in range(frames):
        ZstdDecompressor().decompress(EMPTY_FRAME)
    return time.monotonic() - start


async def health_wait(gateway: RunningApp) -> float:
    """Return the seconds that a call to /health takes."""
    start = time.monotonic()
    status, _ = await gateway.call("GET", "/health")
    assert status == 200
    return time.monotonic() - start
