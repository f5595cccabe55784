"""Places on a batch's way where a test makes the process die, wait or fail.

They are in every build and off by default: `hit` then costs one look at an empty dict. ``BATCHGATE_FAILPOINTS``, read
once at start, switches some on::

    BATCHGATE_FAILPOINTS="chunk_half_flushed=kill:3, result_file_written=pause:/tmp/go"

``kill`` ends the process at once (SIGKILL), ``raise`` raises `FailpointHit`, and ``pause:PATH`` makes a file
PATH.reached and holds the thread up until the file PATH exists. A number at the end chooses the hit that counts, the
first if none is given; the others pass.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from batchgate.engine.model.errors import ConfigurationError

VARIABLE: Final = "BATCHGATE_FAILPOINTS"
POLL_INTERVAL: Final = 0.01  # seconds between two looks for the file of a pause

FailpointName: TypeAlias = Literal[
    "intake_spooled",
    "rows_written",
    "file_submitted",
    "file_validated",
    "batch_begun",
    "shard_claimed",
    "request_in_flight",
    "response_received",
    "chunk_half_flushed",
    "last_shard_done",
    "finalizing_started",
    "result_file_written",
    "batch_marked",
    "chunks_deleted",
    "batch_deleted",
    "batch_archived",
]
"""The steps of a batch's way, in its order."""

NAMES: Final[tuple[FailpointName, ...]] = get_args(FailpointName)


class FailpointHit(Exception):
    """What a failpoint raises that is set to ``raise``."""


class _Failpoint(Struct, kw_only=True):
    action: str
    path: Path | None
    countdown: int


_ARMED: Final[dict[FailpointName, _Failpoint]] = {}


def hit(name: FailpointName) -> None:
    """Do what was asked for at this place: nothing, but in tests."""
    if _ARMED:
        _act(name)


def arm(environment: Mapping[str, str]) -> None:
    """Switch on what the environment asks for and everything else off; raises `ConfigurationError`."""
    _ARMED.clear()
    for text in filter(None, (part.strip() for part in environment.get(VARIABLE, "").split(","))):
        name, failpoint = _read(text)
        _ARMED[name] = failpoint


def _read(text: str) -> tuple[FailpointName, _Failpoint]:
    name, _, rest = text.partition("=")
    action, *arguments = rest.split(":")
    if name not in NAMES:
        raise ConfigurationError(VARIABLE, f"one of {', '.join(NAMES)}, not {name!r}")
    path = Path(arguments.pop(0)) if action == "pause" and arguments else None
    number = arguments.pop(0) if arguments else "1"
    known = action in {"kill", "raise"} or path is not None
    if not known or arguments or not number.isdecimal():
        expected = f"NAME=kill, NAME=raise or NAME=pause:PATH, each perhaps with :NUMBER, not {text!r}"
        raise ConfigurationError(VARIABLE, expected)
    return name, _Failpoint(action=action, path=path, countdown=int(number))


def _act(name: FailpointName) -> None:
    failpoint = _ARMED.get(name)
    if failpoint is None:
        return
    failpoint.countdown -= 1
    if failpoint.countdown != 0:
        return
    match failpoint.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise FailpointHit(name)
        case _:
            assert failpoint.path is not None
            failpoint.path.with_name(f"{failpoint.path.name}.reached").touch()
            while not failpoint.path.exists():
                time.sleep(POLL_INTERVAL)
