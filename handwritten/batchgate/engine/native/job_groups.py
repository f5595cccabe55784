"""Groups the requests of a batch by account, model and what else a job needs, and cuts each group into jobs."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

from batchgate.engine.dispatch.endpoint import lane_of
from batchgate.engine.dispatch.lane_choice import ENVELOPE, USED_PART, reason_for_size, reason_to_batch
from batchgate.engine.dispatch.prepared_request import PreparedRequest, request_row
from batchgate.engine.dispatch.router import Route
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.lane import LaneReason
from batchgate.engine.model.native_job import NativeJob, pack_set
from batchgate.engine.native.lane_parts import LaneParts
from batchgate.engine.ports.provider_batches import LaneLimits

BYTES_PER_TOKEN: Final = 3
"""A cautious guess for texts (native-lanes 5)."""
TOKEN_BYTES: Final = 9
"""Random bytes of a job's token, which is 12 characters long in URL-safe base 64."""


MAX_GROUPS: Final = 50
"""Groups of requests for one model that have jobs, of which each needs one at least."""
TOO_MANY_GROUPS: Final = LaneReason(
    "too_few_requests", f"{MAX_GROUPS} other response schemas have more such requests for the model"
)


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

    def give(self, count: int, other: _Part) -> None:
        """Move the last requests to another part, with their share of the size."""
        share = count / len(self.seqs)
        size, tokens = round(self.bytes * share), round(self.tokens * share)
        other.seqs[:0] = self.seqs[-count:]
        del self.seqs[-count:]
        self.bytes, other.bytes = self.bytes - size, other.bytes + size
        self.tokens, other.tokens = self.tokens - tokens, other.tokens + tokens


class _Group:
    """The requests that jobs may share: for one model of one account; in parts of at most one job."""

    def __init__(self, route: Route, limits: LaneLimits) -> None:
        self.route = route
        self.limits = limits
        self.parts = [_Part()]

    def add(self, seq: int, size: int) -> None:
        if not self.parts[-1].has_room(size, self.limits):
            self.parts.append(_Part())
        self.parts[-1].add(seq, size)

    def balance(self) -> None:
        """Fill the last part up to the minimum of a job."""
        missing = self.route.endpoint.min_job_requests - len(self.parts[-1].seqs)
        if len(self.parts) > 1 and missing > 0:
            self.parts[-2].give(missing, self.parts[-1])

    @property
    def requests(self) -> int:
        return sum(len(part.seqs) for part in self.parts)


class JobGroups:
    """Collects the native requests of one batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._groups: dict[tuple[str, str, str], _Group] = {}

    def add(self, request: PreparedRequest, size: int) -> None:
        """Add a request with an input line of this size, which fits into a job."""
        route, batches = request.route, request.route.endpoint.batches
        assert batches is not None  # the lane was chosen by it
        limits = batches.limits
        shared = "" if limits.group_of is None else limits.group_of(request_row(self._batch, request))
        group = self._groups.get((*route.key, shared))
        if group is None:
            group = self._groups[*route.key, shared] = _Group(route, limits)
        group.add(request.seq, size + ENVELOPE)

    def _outnumbered(self) -> Collection[tuple[str, str, str]]:
        """Return the keys of the groups that have no jobs, since as many others of their model are larger."""
        groups: Counter[tuple[str, str]] = Counter()
        outnumbered = set()
        for key in sorted(self._groups, key=lambda key: -self._groups[key].requests):
            groups[key[:2]] += 1
            if groups[key[:2]] > MAX_GROUPS:
                outnumbered.add(key)
        return outnumbered

    def jobs(self, parts: LaneParts, now: int) -> Iterator[NativeJob]:
        """Yield the jobs of all groups that are large enough, and count the requests of all groups."""
        outnumbered = self._outnumbered()
        for key, group in self._groups.items():
            (account, model, _), endpoint = key, group.route.endpoint
            is_called = lane_of(self._batch.options, endpoint) != "native"
            small = reason_for_size(self._batch, endpoint, group.requests)
            small = small or (TOO_MANY_GROUPS if key in outnumbered else None)
            if small is not None:
                parts.add(group.route.key, "direct" if is_called else "none", small, group.requests)
                continue
            parts.add(group.route.key, "native", reason_to_batch(is_asked_for=not is_called), group.requests)
            batches = endpoint.batches
            assert batches is not None  # the lane was chosen by it
            group.balance()
            for part in group.parts:
                yield NativeJob(
                    batch_key=self._batch.key,
                    token=new_token(),
                    account=account,
                    model=model,
                    kind=batches.sent_kind(self._batch.options.kind),
                    seqs=pack_set(part.seqs),
                    requests=len(part.seqs),
                    tokens=part.tokens,
                    created_at=now,
                )


def new_token() -> str:
    """Return a name for a job, without the character that ends the number in a row id."""
    return secrets.token_urlsafe(TOKEN_BYTES).replace("-", "x")
