"""Faults of requests that were not sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

INVALID_REQUEST: Final = "invalid_request"
"""The code of a fault that has no other one."""
MAX_LISTED: Final = 100
"""Faults that a `FaultList` keeps."""
MAX_QUOTED: Final = 500
"""Characters of each text of a fault that are kept."""


class RequestFault(Struct, frozen=True, kw_only=True):
    """Why one request cannot be sent."""

    place: int | None
    """The index of the request from 0, or the number of its line from 1; None for the file as a whole."""
    custom_id: str | None
    param: str | None
    """The wrong field."""
    code: str
    message: str


class FaultList:
    """The number of faults, and the first ones by their places."""

    def __init__(self) -> None:
        self.count = 0
        self.requests = 0
        """The number of requests with a fault; faults of a file as a whole are none of a request."""
        self._first: list[RequestFault] = []

    def add(self, fault: RequestFault) -> None:
        """Add a fault; faults are added in the order of their places, or in a few such runs."""
        self.count += 1
        self.requests += fault.place is not None
        if len(self._first) >= 2 * MAX_LISTED:
            self._first = list(self.listed())
        self._first.append(_shortened(fault))

    def extend(self, other: FaultList) -> None:
        """Add the faults of another list."""
        self.count += other.count
        self.requests += other.requests
        self._first = [*self.listed(), *other.listed()]

    def listed(self) -> Sequence[RequestFault]:
        """Return the first faults; those of the file as a whole before all others."""
        return sorted(self._first, key=lambda fault: -1 if fault.place is None else fault.place)[:MAX_LISTED]


def _shortened(fault: RequestFault) -> RequestFault:
    """Return a fault without the end of what may be long: callers choose their custom_ids."""
    return RequestFault(
        place=fault.place,
        custom_id=None if fault.custom_id is None else _short(fault.custom_id),
        param=None if fault.param is None else _short(fault.param),
        code=fault.code,
        message=_short(fault.message),
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 1]}…"
