"""The baseline of direct throughput: a bare aiohttp client loop, run as ``python -m tests.benchmarks.bare_loop``.

It posts each line of a file to a URL, with a fixed number of calls in flight, and reads every response completely. It
prints the elapsed seconds and the seconds of processor time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp


async def post_all(url: str, bodies: list[bytes], in_flight: int) -> None:
    """Post every body, with at most ``in_flight`` calls at a time."""
    remaining: Iterator[bytes] = iter(bodies)
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def work() -> None:
            for body in remaining:
                async with session.post(url, data=body, headers=headers) as response:
                    await response.read()
                    assert response.status == 200

        await asyncio.gather(*(work() for _ in range(in_flight)))


def main(url: str, file: str, in_flight: str) -> None:
    """Run the loop; print elapsed and processor seconds."""
    bodies = Path(file).read_bytes().splitlines()
    begun, processor = time.perf_counter(), time.process_time()
    asyncio.run(post_all(url, bodies, int(in_flight)))
    print(time.perf_counter() - begun, time.process_time() - processor)


if __name__ == "__main__":
    main(*sys.argv[1:])
