"""Groups the requests of a batch by account and model, and cuts each group into jobs by the provider's limits."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from batchgate.engine.dispatch.executor import PreparedRequest
from batchgate.engine.dispatch.router import Route
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.native_job import NativeJob, pack_set
from batchgate.engine.native.lane_choice import min_requests
from batchgate.engine.ports.provider_batches import LaneLimits

ENVELOPE: Final = 320
"""Bytes that a row of a job may have more than its input line: our id, the path, another spelling of a field."""
USED_PART: Final = 0.9
"""The part of a provider's limit of bytes that a plan fills, since a translated row may be larger than its line."""
BYTES_PER_TOKEN: Final = 3
"""A cautious guess for texts (native-lanes 5)."""
TOKEN_BYTES: Final = 9
"""Random bytes of a job's token, which is 12 characters long in URL-safe base 64."""


class _Part:
    """The requests of one job."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.bytes = 0
        self.tokens = 0

    def has_room(self, size: int, limits: LaneLimits) -> bool:
        fits = self.bytes + size <= USED_PART * limits.max_bytes
        return not self.seqs or (len(self.seqs) < limits.max_requests and fits)

    def add(self, seq: int, size: int) -> None:
        self.seqs.append(seq)
        self.bytes += size
        self.tokens += size // BYTES_PER_TOKEN


class _Group:
    """The requests for one model of one account, in parts of at most one job."""

    def __init__(self, route: Route, limits: LaneLimits) -> None:
        self.route = route
        self.limits = limits
        self.parts = [_Part()]

    def add(self, seq: int, size: int) -> None:
        if not self.parts[-1].has_room(size, self.limits):
            self.parts.append(_Part())
        self.parts[-1].add(seq, size)

    @property
    def requests(self) -> int:
        return sum(len(part.seqs) for part in self.parts)


class JobGroups:
    """Collects the native requests of one batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._groups: dict[tuple[str, str], _Group] = {}

    def add(self, request: PreparedRequest, size: int) -> bool:
        """Add a request; False if no job could hold a row of its size."""
        route = request.route
        batches = route.endpoint.batches
        assert batches is not None  # the lane was chosen by it
        size += ENVELOPE
        if size > min(batches.limits.max_row_bytes, USED_PART * batches.limits.max_bytes):
            return False
        group = self._groups.get(route.key)
        if group is None:
            group = self._groups[route.key] = _Group(route, batches.limits)
        group.add(request.seq, size)
        return True

    def jobs(self, now: int) -> Iterator[NativeJob]:
        """Yield the jobs of all groups that are large enough."""
        for (account, model), group in self._groups.items():
            if group.requests < min_requests(self._batch, group.route.endpoint):
                continue
            batches = group.route.endpoint.batches
            assert batches is not None  # the lane was chosen by it
            for part in group.parts:
                yield NativeJob(
                    batch_key=self._batch.key,
                    token=secrets.token_urlsafe(TOKEN_BYTES).replace("-", "x"),
                    account=account,
                    model=model,
                    kind=batches.sent_kind(self._batch.options.kind),
                    seqs=pack_set(part.seqs),
                    requests=len(part.seqs),
                    tokens=part.tokens,
                    created_at=now,
                )
