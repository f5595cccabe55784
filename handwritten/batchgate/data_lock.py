"""The lock of a data folder: two gateways on one folder would take each other's claims and call providers twice."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from batchgate.engine.model.errors import ConfigurationError

logger = logging.getLogger(__name__)

LOCK_FILE: Final = "lock"
TRY_DELAYS: Final = (0.01, 0.05, 0.2)
"""Seconds between tries to lock a folder: a process that only looks whether it is locked has the lock for a moment."""


@contextmanager
def exclusive_folder(folder: Path, in_use: str | None = None) -> Iterator[None]:
    """Lock a folder for this process; raises `ConfigurationError` if another process holds the lock.

    The lock ends with the process. ``in_use`` replaces the error message for processes that are not gateways.
    """
    with _lock_file(folder) as file:
        if not _lock(file):
            expected = in_use or f"a folder that no other gateway uses; {folder} is in use"
            raise ConfigurationError("data_dir", expected)
        yield


def _lock(file: TextIO) -> bool:
    """Lock a file; False if another process has it for longer than `is_locked` takes."""
    for delay in (*TRY_DELAYS, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if delay is not None:
                time.sleep(delay)
        else:
            return True
    return False


def is_locked(folder: Path) -> bool:
    """Check if another process holds the lock of a folder, which may not exist."""
    try:
        with (folder / LOCK_FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _close_to_others(folder: Path) -> None:
    """Take the permissions of other users from a folder that was there already; only its owner can."""
    mode = folder.stat().st_mode
    if mode & 0o077:
        fields = {"action": "data_dir_closed"}
        try:
            folder.chmod(mode & 0o700)
        except PermissionError:
            message = "%s is open to other users, and belongs to one of them; only the files in it are closed"
            logger.warning(message, folder, extra=fields)
        else:
            logger.warning("%s was open to other users; it is closed to them now", folder, extra=fields)


def _lock_file(folder: Path) -> TextIO:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(folder)
        return (folder / LOCK_FILE).open("w")
    except OSError as error:
        raise ConfigurationError("data_dir", f"a writable folder: {error}") from error
