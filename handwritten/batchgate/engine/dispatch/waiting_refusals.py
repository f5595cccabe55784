"""The requests of a shard that wait for another call, with the errors of their last ones."""

from __future__ import annotations

from collections.abc import Iterator

from batchgate.engine.dispatch.prepared_request import PreparedRequest
from batchgate.engine.model.health_report import Refusal


class WaitingRefusals:
    """The waiting requests whose last call failed, by seq, the latest last."""

    def __init__(self) -> None:
        self._refusals: dict[int, tuple[PreparedRequest, Refusal]] = {}

    @property
    def latest(self) -> Refusal | None:
        """The latest of the errors; None if no request waits after one."""
        return next((refusal for _, refusal in reversed(self._refusals.values())), None)

    def __iter__(self) -> Iterator[tuple[PreparedRequest, Refusal]]:
        """Return the requests and their errors."""
        return iter(self._refusals.values())

    def add(self, request: PreparedRequest, refusal: Refusal) -> None:
        """Note the error of a request that is called again."""
        self.remove(request.seq)
        self._refusals[request.seq] = (request, refusal)

    def remove(self, seq: int) -> None:
        """Forget a request, which has a result."""
        self._refusals.pop(seq, None)
