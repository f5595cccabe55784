"""The limit of open files (RLIMIT_NOFILE): raised at the start, and divided between clients and calls to providers."""

from __future__ import annotations

import logging
import resource
from typing import Final

from batchgate.settings import Settings

logger = logging.getLogger(__name__)

OWN_FILES: Final = 128
"""Open files of the process itself: the database, the log, blobs that it reads and writes, connections for probes."""
FILES_PER_CONNECTION: Final = 2
"""A client needs a connection, and a file that it downloads or uploads."""


def raise_open_files_limit() -> None:
    """Raise the soft limit of open files to the hard one: it is low for programs that cannot handle many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # macOS allows less than the hard limit says
        fields = {"action": "open_files_limited"}
        logger.warning("the limit of open files stays at %d: %s", soft, error, extra=fields)


def connections_that_fit(settings: Settings) -> int:
    """Return the maximum of connections for which the limit of open files has room; log a warning if it is less."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return settings.max_connections
    for_calls = sum(account.concurrency for account in settings.accounts.values())
    free = limit - OWN_FILES - for_calls
    # Calls rarely all run at once: however many they may be, clients have a quarter.
    fitting = min(settings.max_connections, max(free // FILES_PER_CONNECTION, limit // 4))
    if fitting < settings.max_connections:
        message = "max_connections is %d, not %d: the limit of open files is %d, and calls to providers may need %d"
        fields = {"action": "open_files_limited"}
        logger.warning(message, fitting, settings.max_connections, limit, for_calls, extra=fields)
    return fitting
