"""Takes the requests out of a job for which the provider refused all of it, so that the others can be sent again."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.native_job import seq_of
from batchgate.engine.native.job_record import JobRecord, NativeServices
from batchgate.engine.native.job_rows import JobRows
from batchgate.engine.ports.provider_batches import ProviderBatches

logger = logging.getLogger(__name__)

MAX_ROUNDS: Final = 5
"""Refusals of a job after which its requests are given up together: the provider may name a wrong row each time."""


class RefusedRows:
    """The refusals of one job."""

    def __init__(self, record: JobRecord, services: NativeServices) -> None:
        self._record = record
        self._services = services
        self._rounds = 0

    async def take_out(
        self,
        batch: Batch,
        endpoint: AccountEndpoint,
        batches: ProviderBatches,
        refused: Collection[int],
        message: str,
        **again: object,
    ) -> bool:
        """Store a job, with other changes, without the rows that are refused by their indexes in what was sent.

        Return False if it should not be sent again: that was tried too often, no such row was sent, or no other was.
        Requests that it does not send any more run directly at its end, or get an error in the lane ``native``.
        """
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            return False
        claims = await self._services.store.list_shards(batch)
        rows = JobRows(batch, self._record.job, claims, self._services.blobs, self._record.refused)
        sent = [row.row_id async for row in rows.encoded(self._services.executor, batches, endpoint.account)]
        token = self._record.job.token
        named = {seq_of(token, sent[index]) for index in refused if index < len(sent)}
        found = {seq for seq in named if seq is not None}
        if not found or len(found) == len(sent):
            return False
        rows.unfit |= found
        await self._record.save(sent=None, **again, **self._record.without(rows.dropped()))
        self._record.refused |= found
        self._record.refusal = f"the provider refused {len(self._record.refused)} of its requests: {message}"
        fields = {"action": "native_rows_refused", "account": self._record.job.account}
        logger.warning("job %s is sent again: %s", token, self._record.refusal, extra=fields)
        return True
