"""One caller stalls 500 downloads and strangers hold 1,200 idle sockets: another tenant notices nothing.

The gateway is the installed one, in a process with the limits of memory and of open files that the compose file gives
it. The memory limit is stricter here: it counts what is allocated, whether or not it is used.
"""

import random
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import psutil
import yaml

from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.raw_http import raw_connection, request_head
from tests.support.running_app import BATCHES, create_body, params
from tests.support.stalled_download import StalledDownload, stalled_download

HOSTILE, TENANT = "key-hostile-0123456789", "key-tenant-0123456789"
SETTINGS: Final = f"""
max_downloads_per_key = 500
[api_keys.hostile]
key = "{HOSTILE}"
workspace = "hostile"
[api_keys.tenant]
key = "{TENANT}"
workspace = "tenant"
{SIMULATOR}"""
JSON: Final = {"Content-Type": "application/json"}
STALLED, IDLE = 500, 1200
HELD_BY_ONE: Final = 256 * 1024
"""Bytes of memory that a stalled download may hold."""
COMPOSE: Final = Path(__file__).parents[2] / "handwritten" / "deploy" / "compose" / "compose.yaml"
UNITS: Final = {"K": 1024, "M": 1024**2, "G": 1024**3}
CALLS: Final = 200
QUICK: Final = 0.2
"""Seconds within which 99 of 100 calls of the tenant are answered."""
PROBE_QUIET: Final = 0.01
"""Seconds by which 99 of 100 short sleeps of another process end late at most, on a machine that is not overloaded."""


def compose_limits() -> tuple[int, int]:
    """Return the bytes of memory and the open files that the compose file gives a gateway, if the machine has them."""
    gateway = yaml.safe_load(COMPOSE.read_text())["services"]["gateway"]
    memory = gateway["deploy"]["resources"]["limits"]["memory"]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(memory[:-1]) * UNITS[memory[-1]], min(gateway["ulimits"]["nofile"], hard)


@contextmanager
def lateness_of_sleeps() -> Iterator[list[float]]:
    """Measure beside a block how late another process wakes up from short sleeps: it says how loaded the machine is."""
    late: list[float] = []
    with subprocess.Popen([sys.executable, "-c", _SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sleeper:
        try:
            yield late
        finally:
            late += msgspec.json.decode(sleeper.communicate()[0], type=list[float])


_SLEEPER: Final = """
import json, select, sys, time
late, begun = [], time.perf_counter()
while not select.select([sys.stdin], [], [], 0.002)[0]:
    late.append(time.perf_counter() - begun - 0.002)
    begun = time.perf_counter()
print(json.dumps(late))
"""


def p99(values: Sequence[float]) -> float:
    """Return the value that 99 of 100 do not exceed."""
    return statistics.quantiles(values, n=100)[-1]


@contextmanager
def idle_sockets(url: str, count: int) -> Iterator[None]:
    """Hold so many connections that never send a byte."""
    address = urlsplit(url)
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection((address.hostname, address.port or 0)))
        yield


async def large_view(client: aiohttp.ClientSession) -> str:
    """Run a batch of 8 MB, and return the path of a file that shows its input in another dialect."""
    noise = random.Random(11)
    body = {
        "requests": [
            {"custom_id": f"r{number}", "params": params() | {"system": noise.randbytes(4000).hex()}}
            for number in range(1000)
        ]
    }
    async with client.post(BATCHES, data=BytesIO(msgspec.json.encode(body)), headers=JSON) as response:
        assert response.status == 200, await response.text()
        batch_id = (await response.json())["id"]
    while True:
        async with client.get(f"{BATCHES}/{batch_id}") as response:
            if (await response.json())["processing_status"] == "ended":
                return f"/openai/v1/files/file-input-{batch_id}/content"


async def p99_of_calls(client: aiohttp.ClientSession) -> float:
    """Make calls of a tenant, one after the other, and return the seconds within which 99 of 100 are answered."""
    body = msgspec.json.encode(create_body("a"))
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", BATCHES, {"data": body, "headers": JSON}),
        ("GET", BATCHES, {}),
        ("GET", "/openai/v1/files", {}),
        ("GET", "/health", {}),
    ]
    waits = []
    for number in range(CALLS):
        method, path, options = calls[number % len(calls)]
        begun = time.perf_counter()
        async with client.request(method, path, **options) as response:
            await response.read()
            waits.append(time.perf_counter() - begun)
            assert response.status == 200
    return p99(waits)


async def test_another_tenant_is_served_beside_stalled_downloads_and_idle_sockets(tmp_path: Path) -> None:
    max_memory, max_open_files = compose_limits()
    limited = GatewayProcess(
        data_dir=tmp_path / "data", settings=SETTINGS, max_open_files=max_open_files, max_memory=max_memory
    )
    with limited as gateway:
        process = psutil.Process(gateway.pid)
        async with (
            aiohttp.ClientSession(gateway.url, headers={"x-api-key": HOSTILE}) as hostile,
            aiohttp.ClientSession(gateway.url, headers={"x-api-key": TENANT}) as tenant,
        ):
            path = await large_view(hostile)
            alone = await p99_of_calls(tenant)
            memory, files = process.memory_info().rss, process.num_fds()
            with ExitStack() as stack:
                stack.enter_context(idle_sockets(gateway.url, IDLE))
                stalled: list[StalledDownload] = []
                while len(stalled) < STALLED:
                    stalled.append(await stalled_download(gateway.url, path, f"x-api-key: {HOSTILE}"))
                    stack.callback(stalled[-1].connection.close)
                assert {download.status for download in stalled} == {200}
                with lateness_of_sleeps() as late:
                    beside = await p99_of_calls(tenant)
                held = process.memory_info().rss - memory
            sys.stdout.write(
                f"p99 of calls: alone {1000 * alone:.0f} ms, beside {1000 * beside:.0f} ms; of a sleep's lateness:"
                f" {1000 * p99(late):.1f} ms; {held / 1e6:.0f} MB held, {(memory + held) / 1e6:.0f} MB in all\n"
            )
            assert beside < QUICK * max(1.0, p99(late) / PROBE_QUIET)
            assert memory + held < max_memory
            assert held < STALLED * HELD_BY_ONE + IDLE * 64 * 1024
            while process.num_fds() > files + 16:
                await p99_of_calls(tenant)
    assert "ERROR" not in gateway.log


async def test_idle_sockets_beyond_the_limit_of_open_files_keep_nobody_out(tmp_path: Path) -> None:
    gateway = GatewayProcess(data_dir=tmp_path / "data", settings=SETTINGS, max_open_files=1024)
    with gateway, idle_sockets(gateway.url, IDLE):
        async with aiohttp.ClientSession(gateway.url, headers={"x-api-key": TENANT}) as tenant:
            await p99_of_calls(tenant)
        for _ in range(20):
            async with raw_connection(gateway.url) as connection:
                await connection.send(request_head("GET /health"))
                assert (await connection.read_response()).status == 200
    assert "max_connections is 416, not 4096" in gateway.log
    assert "out of system resource" not in gateway.log
    assert len(gateway.log) < 1_000_000
