"""The lock of a data folder: two gateways on one folder would take each other's claims and call providers twice."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from batchgate.engine.model.errors import ConfigurationError


@contextmanager
def exclusive_folder(folder: Path, in_use: str | None = None) -> Iterator[None]:
    """Lock a folder for this process; raises `ConfigurationError` if another process holds the lock.

    The lock ends with the process. ``in_use`` replaces the error message for processes that are not gateways.
    """
    with _lock_file(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            expected = in_use or f"a folder that no other gateway uses; {folder} is in use"
            raise ConfigurationError("data_dir", expected) from error
        yield


def _lock_file(folder: Path) -> TextIO:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (folder / "lock").open("w")
    except OSError as error:
        raise ConfigurationError("data_dir", f"a writable folder: {error}") from error
