"""The requests of a shard that wait for another call, with the errors of their last ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from batchgate.engine.dispatch.prepared_request import PreparedRequest
from batchgate.engine.model.health_report import Refusal
from batchgate.engine.model.retried_calls import RetriedCallReason, RetriedCalls, retried_calls


class WaitingRefusals:
    """The waiting requests whose last call failed, by seq, the latest last; and how many calls failed, by reason."""

    def __init__(self) -> None:
        self._refusals: dict[int, tuple[PreparedRequest, Refusal]] = {}
        self._retried = Counter[RetriedCallReason]()

    @property
    def latest(self) -> Refusal | None:
        """The latest of the errors; None if no request waits after one."""
        return next((refusal for _, refusal in reversed(self._refusals.values())), None)

    def __iter__(self) -> Iterator[tuple[PreparedRequest, Refusal]]:
        """Return the requests and their errors."""
        return iter(self._refusals.values())

    def add(self, request: PreparedRequest, refusal: Refusal, reason: RetriedCallReason) -> None:
        """Note the error of a request that is called again for a reason."""
        self.remove(request.seq)
        self._refusals[request.seq] = (request, refusal)
        self._retried[reason] += 1

    def remove(self, seq: int) -> None:
        """Forget a request, which has a result."""
        self._refusals.pop(seq, None)

    def take_retried(self) -> tuple[RetriedCalls, ...]:
        """Return how many calls were made again, by reason, since this was asked last."""
        if not self._retried:
            return ()
        taken = retried_calls(self._retried)
        self._retried.clear()
        return taken
