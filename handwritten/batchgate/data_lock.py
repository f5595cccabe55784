"""One gateway a data folder: two would free each other's claims and ask providers twice."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from batchgate.engine.model.errors import ConfigurationError


@contextmanager
def sole_use(folder: Path, in_use: str | None = None) -> Iterator[None]:
    """Hold a folder for this process; raises `ConfigurationError` when another one has it. A crash lets go of it.

    ``in_use`` is what to say then, where it is not a second gateway that wants it.
    """
    with _lock_file(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            expected = in_use or f"a folder of its own; another gateway uses {folder}"
            raise ConfigurationError("data_dir", expected) from error
        yield


def _lock_file(folder: Path) -> TextIO:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (folder / "lock").open("w")
    except OSError as error:
        raise ConfigurationError("data_dir", f"a folder that can be written to: {error}") from error
