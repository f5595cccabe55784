"""The engine's events as log records."""

from __future__ import annotations

import logging

import msgspec

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.telemetry import SUCCEEDED, NoTelemetry

logger = logging.getLogger(__name__)


class EventLog(NoTelemetry):
    """Logs what happens to batches; what happens to shards and requests only at the level debug."""

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Log it."""
        logger.info(
            "batch created with %d requests",
            batch.counts.total,
            extra={
                "action": "batch_created",
                "batch": batch.id,
                "workspace": batch.workspace,
                "requests": batch.counts.total,
                "bytes": size,
                "seconds": seconds,
            },
        )

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:
        """Log it for those who look closely."""
        logger.debug("shard claimed", extra={"action": "shard_claimed", "seconds": waited, **_of_claim(claim)})

    def shard_released(self, claim: Claim, *, seconds: float) -> None:
        """Log it for those who look closely."""
        logger.debug("shard left", extra={"action": "shard_released", "seconds": seconds, **_of_claim(claim)})

    def call_ended(self, batch: Batch, account: str, request: RequestRow, outcome: str, seconds: float) -> None:
        """Log a call that failed, for those who look closely."""
        if outcome != SUCCEEDED and logger.isEnabledFor(logging.DEBUG):
            fields = _fields(batch, account, request) | {"outcome": outcome, "seconds": seconds}
            logger.debug("call failed: %s", outcome, extra={"action": "call_failed", **fields})

    def call_retried(self, batch: Batch, account: str, request: RequestRow, reason: str) -> None:
        """Log it for those who look closely."""
        if logger.isEnabledFor(logging.DEBUG):
            fields = _fields(batch, account, request) | {"reason": reason}
            logger.debug("call is made again: %s", reason, extra={"action": "call_retried", **fields})

    def requests_redelivered(self, claim: Claim, number: int) -> None:
        """Log it."""
        fields = _of_claim(claim) | {"requests": number}
        logger.info("%d requests were asked again", number, extra={"action": "requests_redelivered", **fields})

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Log it."""
        fields = {"batch": batch.id, "workspace": batch.workspace, "counts": msgspec.structs.asdict(counts)}
        logger.info("batch ended", extra={"action": "batch_ended", "seconds": seconds, **fields})


def _of_claim(claim: Claim) -> dict[str, object]:
    batch = claim.batch
    return {"batch": batch.id, "workspace": batch.workspace, "shard": claim.shard.index, "epoch": claim.epoch}


def _fields(batch: Batch, account: str, request: RequestRow) -> dict[str, object]:
    named = {"account": account, "model": request.model[:128]}
    return {"batch": batch.id, "workspace": batch.workspace, "custom_id": request.custom_id, **named}
