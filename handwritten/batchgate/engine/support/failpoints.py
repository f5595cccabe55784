"""Failpoints: named steps in the life of a batch at which a test can kill, pause or fail the process.

They are part of every build and off by default; `hit_failpoint` then only checks an empty dict. The environment
variable ``BATCHGATE_FAILPOINTS``, which is read once at the start, enables them::

    BATCHGATE_FAILPOINTS="chunk_half_flushed=kill:3, result_file_written=pause:/tmp/go"

``kill`` ends the process at once (SIGKILL). ``raise`` raises `FailpointHit`. ``pause:PATH`` creates the file
PATH.reached and blocks the thread until the file PATH exists. The number at the end selects the hit at which the
failpoint acts; the default is the first.
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
POLL_INTERVAL: Final = 0.01  # seconds between two checks for the file that ends a pause

FailpointName: TypeAlias = Literal[
    "intake_spooled",
    "rows_written",
    "file_submitted",
    "file_validated",
    "batch_begun",
    "results_reused",
    "native_grouped",
    "native_planned",
    "native_submitting",
    "native_uploading",
    "native_uploaded",
    "native_creating",
    "native_create_answered",
    "native_created",
    "native_polled",
    "native_collecting",
    "native_canceling",
    "native_ended",
    "native_discarded",
    "shard_claimed",
    "request_in_flight",
    "task_created",
    "task_stored",
    "output_written",
    "response_received",
    "chunk_half_flushed",
    "last_shard_done",
    "finalizing_started",
    "result_file_written",
    "batch_marked",
    "webhook_sent",
    "chunks_deleted",
    "batch_deleted",
    "batch_archived",
]
"""The steps, in the order in which a batch passes them."""

NAMES: Final[tuple[FailpointName, ...]] = get_args(FailpointName)


class FailpointHit(Exception):
    """Raised by a failpoint with the action ``raise``."""


class _Failpoint(Struct, kw_only=True):
    action: str
    path: Path | None
    countdown: int


_ARMED: Final[dict[FailpointName, _Failpoint]] = {}


def hit_failpoint(name: FailpointName) -> None:
    """Act if this failpoint is enabled, which only tests do."""
    if _ARMED:
        _trigger(name)


def arm_failpoints(environment: Mapping[str, str]) -> None:
    """Enable the failpoints that the environment names and disable all others; raises `ConfigurationError`."""
    _ARMED.clear()
    for text in filter(None, (part.strip() for part in environment.get(VARIABLE, "").split(","))):
        name, failpoint = _parse(text)
        _ARMED[name] = failpoint


def _parse(text: str) -> tuple[FailpointName, _Failpoint]:
    name, _, rest = text.partition("=")
    action, *arguments = rest.split(":")
    if name not in NAMES:
        raise ConfigurationError(VARIABLE, f"one of {', '.join(NAMES)}, not {name!r}")
    path = Path(arguments.pop(0)) if action == "pause" and arguments else None
    number = arguments.pop(0) if arguments else "1"
    valid_action = action in {"kill", "raise"} or path is not None
    if not valid_action or arguments or not number.isdecimal():
        expected = f"NAME=kill, NAME=raise or NAME=pause:PATH, optionally followed by :NUMBER, not {text!r}"
        raise ConfigurationError(VARIABLE, expected)
    return name, _Failpoint(action=action, path=path, countdown=int(number))


def _trigger(name: FailpointName) -> None:
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
