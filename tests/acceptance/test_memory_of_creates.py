"""The memory of a gateway during and after creates of nearly the maximum size."""

import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import psutil
import pytest

from tests.benchmarks.memory import PeakMemory
from tests.support.gateway_process import GatewayProcess
from tests.support.running_app import BATCHES
from tests.support.unified_batches import BATCHES as UNIFIED_BATCHES

MB: Final = 1024 * 1024
LARGE: Final = 31 * MB
"""The size of one request; the maximum is 32 MB."""
MAX_GROWTH: Final = 8 * LARGE
MAX_KEPT: Final = 64 * MB


def refused_create(surface: str) -> Iterator[bytes]:
    """Yield the parts of a create of 217 MB whose last request repeats a custom_id: no worker holds any of it later."""
    content: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x" * LARGE}]}
    field = "params" if surface == BATCHES else "body"
    yield b'{"requests":['
    for custom_id in ("a", "b", "c", "d", "e", "f"):
        yield msgspec.json.encode({"custom_id": custom_id, field: content}) + b","
    yield msgspec.json.encode({"custom_id": "a", field: content}) + b"]}"


@pytest.mark.parametrize("surface", [BATCHES, UNIFIED_BATCHES, "/openai/v1/batches"])
def test_the_memory_of_a_create_of_large_requests_is_bounded_and_comes_back(tmp_path: Path, surface: str) -> None:
    with GatewayProcess(data_dir=tmp_path / "data") as gateway:
        process, address = psutil.Process(gateway.pid), urlsplit(gateway.url)
        before = process.memory_info().rss
        with PeakMemory(process) as memory:
            for _ in range(2):
                connection = HTTPConnection(str(address.hostname), address.port)
                headers = {"Content-Type": "application/json"}
                connection.request("POST", surface, refused_create(surface), headers, encode_chunked=True)
                response = connection.getresponse()
                answer = response.read()
                connection.close()
                assert response.status == 400, answer
                assert b"'a' is already the custom_id of requests.0" in answer
        kept = process.memory_info().rss - before
    sys.stdout.write(f"{surface}: {memory.growth / MB:.0f} MB more at the peak, {kept / MB:.0f} MB kept\n")
    assert memory.growth < MAX_GROWTH
    assert kept < MAX_KEPT
