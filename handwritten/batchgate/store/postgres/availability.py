"""Waits at the start of a process for a PostgreSQL server that does not accept connections yet."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from contextlib import suppress
from typing import Final

import psycopg

from batchgate.engine.model.errors import StoreError
from batchgate.store.postgres.address import PostgresAddress

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts, on average."""
LOG_INTERVAL: Final = 15.0
"""Seconds after which the wait is logged again."""

_PERMANENT: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|is not permitted to log in"
    r'|(?:role|database) ".*" does not exist|permission denied for database'
    r"|invalid (?:port number|\w+ value)|SSL was required|certificate|invalid URI"
)
"""Errors of the driver that no waiting mends. The driver does not pass on the SQLSTATE of a refused connection."""


async def wait_for_database(address: PostgresAddress, max_wait: float, stop: asyncio.Event) -> bool:
    """Wait until the server accepts a connection; return False if ``stop`` is set before.

    Raises `StoreError` after ``max_wait`` seconds, and at once for what waiting does not mend.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    logged_at, pause = -LOG_INTERVAL, FIRST_PAUSE
    while (reason := await _reason_against(address, stop)) is not None and not stop.is_set():
        waited = loop.time() - begun
        if _PERMANENT.search(reason) or waited >= max_wait:
            after = "" if _PERMANENT.search(reason) or not max_wait else f" for {max_wait:g} seconds"
            raise StoreError(f"the database cannot be reached{after}: {reason}")
        if waited - logged_at >= LOG_INTERVAL:
            logged_at = waited
            message = "waiting for the database, %.0f of at most %g seconds so far: %s"
            logger.warning(message, waited, max_wait, reason, extra={"action": "database_awaited"})
        await _sleep(min(random.uniform(0.5, 1.5) * pause, max(0.0, max_wait - waited)), stop)
        pause = min(2 * pause, LONGEST_PAUSE)
    if logged_at >= 0 and not stop.is_set():
        waited = loop.time() - begun
        logger.info("the database is there, after %.0f seconds", waited, extra={"action": "database_reached"})
    return not stop.is_set()


async def _reason_against(address: PostgresAddress, stop: asyncio.Event) -> str | None:
    """Connect, and return why that is impossible; None if it is possible, or if the process is to stop."""
    connecting = asyncio.create_task(psycopg.AsyncConnection.connect(address.conninfo))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            return None
        await (await connecting).close()
    except psycopg.Error as error:
        return address.redact(str(error))
    finally:
        stopping.cancel()
        connecting.cancel()
        await asyncio.gather(stopping, connecting, return_exceptions=True)
    return None


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
