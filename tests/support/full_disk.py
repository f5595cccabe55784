"""Simulates a full disk for one process, without privileges and without a file system of its own.

The operating system lets no file of the process grow beyond a size (RLIMIT_FSIZE). Python ignores the signal SIGXFSZ,
so a write fails as it does on a full disk, with another error number.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FILE_TOO_LARGE: Final = "File too large"
"""The error text of the operating system when a file would grow beyond the size."""


@contextmanager
def full_disk(max_bytes: int, pid: int | None = None) -> Iterator[None]:
    """Let no file of a process (by default this one) grow beyond ``max_bytes``."""
    process = os.getpid() if pid is None else pid
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (max_bytes, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # the process may have stopped
            resource.prlimit(process, resource.RLIMIT_FSIZE, before)


def wal_size(data_dir: Path) -> int:
    """Return the size of the write-ahead log in bytes: with this as the limit, no transaction can be written."""
    return (data_dir / "batchgate.db-wal").stat().st_size
