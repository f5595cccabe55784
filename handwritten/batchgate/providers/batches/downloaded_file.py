"""Downloads of any size, in a temporary file instead of the memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import IO, Final

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import Account
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange

MAX_DOWNLOAD_BYTES: Final = 2_000_000_000
_BLOCK: Final = 1024 * 1024


@asynccontextmanager
async def downloaded(exchange: HttpExchange, account: Account, call: HttpCall) -> AsyncGenerator[IO[bytes], None]:
    """Send a call and yield a file with the content of the response, at its end; it is gone with the context.

    Raises `NoUpstreamAnswer` if the content is too large, and what the exchange raises.
    """
    with tempfile.TemporaryFile() as file:
        size, waiting = 0, bytearray()
        async with aclosing(exchange.download(account, call)) as blocks:
            async for block in blocks:
                size += len(block)
                if size > MAX_DOWNLOAD_BYTES:
                    message = f"The provider's results have more than {MAX_DOWNLOAD_BYTES} bytes."
                    raise NoUpstreamAnswer("api_error", message, status=200, retry_safe=False)
                waiting += block
                if len(waiting) >= _BLOCK:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
        await asyncio.to_thread(file.write, bytes(waiting))
        await asyncio.to_thread(file.flush)
        yield file
