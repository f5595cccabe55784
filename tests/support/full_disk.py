"""A disk without room, for one process and for as long as the test wants; no privileges, no file system of its own.

The system lets no file of the process grow beyond a size (RLIMIT_FSIZE). Python ignores the signal that comes with it,
so that a write fails as it does on a full disk, with another number.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FILE_TOO_LARGE: Final = "File too large"
"""What the system says when a file would grow beyond the size."""


@contextmanager
def full_disk(max_bytes: int, pid: int | None = None) -> Iterator[None]:
    """Let no file of a process, this one by default, grow beyond ``largest`` bytes."""
    process = os.getpid() if pid is None else pid
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (max_bytes, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it may have stopped
            resource.prlimit(process, resource.RLIMIT_FSIZE, before)


def wal_size(data_dir: Path) -> int:
    """Measure the database's write-ahead log: where nothing may grow beyond it, no transaction is written."""
    return (data_dir / "batchgate.db-wal").stat().st_size
