"""Finds a job upstream whose create call got no answer: by its token, or by the ids in its results.

A provider without labels shows only when a job was created and how many requests it has. Other programs, and other jobs
in doubt, may have the same: such a job is a candidate until it has ended, and its results prove whose it is.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import Final

from msgspec import Struct, structs

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.native_job import NativeJob, seq_of
from batchgate.engine.native.job_record import NativeServices
from batchgate.engine.ports.provider_batches import ProviderBatches, UpstreamJob

logger = logging.getLogger(__name__)

PROOF_ROWS: Final = 100
"""Results of a candidate that are read for an id with our token; all rows of a job have the token of one job."""


class JobSearchResult(Struct, frozen=True):
    """What is upstream."""

    found: UpstreamJob | None = None
    candidates: tuple[str, ...] = ()
    """The ids of jobs that may be ours and have not ended."""


class JobSearch:
    """Searches for one job, again and again until it is found or cannot exist."""

    def __init__(self, services: NativeServices) -> None:
        self._store = services.store
        self._foreign: set[str] = set()
        """The ids of candidates whose results have no id with our token."""
        self._reported: tuple[str, ...] = ()

    async def search(self, job: NativeJob, endpoint: AccountEndpoint, batches: ProviderBatches) -> JobSearchResult:
        """List the jobs upstream that no other job of ours is, and find this one; raises `UpstreamError`."""
        listed = await batches.find(endpoint.account, job)
        known = await self._store.known_upstream_ids([upstream.id for upstream in listed])
        unknown = [upstream for upstream in listed if upstream.id not in known | self._foreign]
        if batches.limits.label == "exact":
            accepted = [upstream for upstream in unknown if upstream.outcome != "failed"]
            return JobSearchResult(next(iter(accepted or unknown[-1:]), None))
        candidates = []
        for candidate in unknown:
            upstream = await _current(job, candidate, endpoint, batches)
            if upstream.outcome == "running" or upstream.awaits_results:
                candidates.append(upstream.id)
            elif await _is_proven(job, upstream, endpoint, batches):
                return JobSearchResult(upstream)
            else:
                self._foreign.add(upstream.id)
        self._report(job, tuple(candidates))
        return JobSearchResult(candidates=tuple(candidates))

    def _report(self, job: NativeJob, candidates: tuple[str, ...]) -> None:
        """Log candidates when they change."""
        if candidates and candidates != self._reported:
            fields = {"action": "native_job_in_doubt", "account": job.account, "model": job.model}
            message = "job %s may have been created: %s at the provider may be it, which its results will show"
            logger.warning(message, job.token, ", ".join(candidates), extra=fields)
        self._reported = candidates


async def _current(
    job: NativeJob, listed: UpstreamJob, endpoint: AccountEndpoint, batches: ProviderBatches
) -> UpstreamJob:
    """Return a listed candidate as it is now, if the list may not show its results."""
    if not listed.awaits_results:
        return listed
    return await batches.poll(endpoint.account, structs.replace(job, upstream_id=listed.id)) or listed


async def _is_proven(
    job: NativeJob, upstream: UpstreamJob, endpoint: AccountEndpoint, batches: ProviderBatches
) -> bool:
    """Read the first results of a candidate: ids with the token of our job prove that it is ours."""
    candidate = structs.replace(job, upstream_id=upstream.id)
    foreign = 0
    async with aclosing(batches.results(endpoint.account, candidate, upstream)) as groups:
        async for group in groups:
            if any(seq_of(job.token, result.row_id) is not None for result in group):
                return True
            foreign += len(group)
            if foreign >= PROOF_ROWS:
                break
    return False
