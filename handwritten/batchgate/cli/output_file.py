"""The file or the standard output that results are written to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click

from batchgate.cli.failures import CommandFailed

STANDARD_OUTPUT: Final = Path("-")


def check_output(target: Path) -> Path:
    """Refuse a missing output folder before any request is paid for."""
    if target != STANDARD_OUTPUT and not target.parent.is_dir():
        raise click.UsageError(f"{target}: the folder {target.parent} does not exist.")
    return target


@contextmanager
def output_file(target: Path) -> Iterator[BinaryIO]:
    """Open stdout, or a file that appears under its name when it is complete; raises `CommandFailed`."""
    try:
        with _opened(target) as file:
            yield file
    except BrokenPipeError:
        raise  # the reader has stopped, as with `| head`: click exits quietly
    except OSError as error:
        raise CommandFailed(f"{target}: cannot write the results: {error.strerror or error}") from error


@contextmanager
def _opened(target: Path) -> Iterator[BinaryIO]:
    if target == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    place = target.resolve()
    if place.exists() and not place.is_file():  # a device or a pipe must not be replaced by a file
        with place.open("wb") as device:
            yield device
        return
    unfinished = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)
