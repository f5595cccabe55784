"""Options of the C library's allocator: a process that had large bodies in memory gives the memory back.

By default glibc learns from each large block that is freed, then takes blocks of up to 32 MB from arenas that do not
shrink; and it has eight arenas for each processor. Other C libraries have no such options, and need none.

An arena keeps as much free memory at its end as a large block has: with the 128 KB that glibc would keep, each shard of
input that is read would get new pages from the system, which costs more processor time than to read it.
"""

from __future__ import annotations

import ctypes
from typing import Final

LARGE_BLOCK: Final = 4 * 1024 * 1024
"""Bytes of a block that goes back to the system when it is freed. Those of smaller ones are used again soon."""
ARENAS: Final = 2

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def limit_kept_memory() -> None:
    """Set the options, where the C library has them; call it before threads start."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, LARGE_BLOCK)
        mallopt(_M_ARENA_MAX, ARENAS)
