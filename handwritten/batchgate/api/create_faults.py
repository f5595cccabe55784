"""What becomes of the faults of the requests of a create: they refuse it, or they are collected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchgate.api.body_errors import BodyFault, refuse
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.request_fault import INVALID_REQUEST, FaultList, RequestFault

MAX_PROBLEMS: Final = 50
"""Invalid requests that one refusal names."""


class RefusingFaults:
    """The first faults of a create, which is refused for them as a whole."""

    def __init__(self, *, has_codes: bool) -> None:
        self._has_codes = has_codes
        self._found: list[BodyFault] = []

    @property
    def drops_requests(self) -> bool:
        """Whether the valid requests are of no use any more."""
        return bool(self._found)

    def accept(self, seq: int) -> None:
        """Count a valid request."""

    def add(self, fault: BodyFault, seq: int, custom_id: str | None) -> None:  # noqa: ARG002
        """Add the fault of a request; raises `RefusedError` once there are enough."""
        self._found.append(fault.with_prefix(f"requests.{seq}"))
        if len(self._found) == MAX_PROBLEMS:
            raise self.refusal()

    def finish(self) -> None:
        """Raise `RefusedError` if there are any."""
        if self._found:
            raise self.refusal()

    def refusal(self) -> RefusedError:
        """Return the refusal of a create, after at least one fault."""
        more = " (more may follow: only the first are named)" if len(self._found) == MAX_PROBLEMS else ""
        first = self._found[0]
        code = first.code if self._has_codes else None
        return refuse("; ".join(map(str, self._found)) + more, param=first.path, code=code)


class CollectedFaults:
    """All faults of a create that is only validated, and the indexes of the valid requests."""

    def __init__(self) -> None:
        self.found = FaultList()
        self._last: BodyFault = BodyFault("", "")
        self._places: list[int] = []

    @property
    def drops_requests(self) -> bool:
        """Whether the valid requests are of no use any more: they always are."""
        return False

    @property
    def places(self) -> Sequence[int]:
        """The indexes of the valid requests so far."""
        return self._places

    def accept(self, seq: int) -> None:
        """Count a valid request."""
        self._places.append(seq)

    def add(self, fault: BodyFault, seq: int, custom_id: str | None) -> None:
        """Add the fault of a request."""
        self._last = fault.with_prefix(f"requests.{seq}")
        code = fault.code or INVALID_REQUEST
        self.found.add(
            RequestFault(place=seq, custom_id=custom_id, param=fault.path or None, code=code, message=fault.message)
        )

    def finish(self) -> None:
        """Accept the body with its faults."""

    def refusal(self) -> RefusedError:
        """Return the refusal of a body that cannot be read behind its last fault."""
        return refuse(str(self._last), param=self._last.path, code=self._last.code)
