"""Writes the engine's events to the log."""

from __future__ import annotations

import logging

import msgspec

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.price import Spend
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.telemetry import SUCCEEDED, EndedCall, NoTelemetry

logger = logging.getLogger(__name__)


class EventLog(NoTelemetry):
    """Logs events of batches at the level info, events of shards and requests at the level debug."""

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Log the event."""
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
        """Log the event at the level debug."""
        logger.debug("shard claimed", extra={"action": "shard_claimed", "seconds": waited, **_claim_fields(claim)})

    def shard_released(self, claim: Claim, *, seconds: float) -> None:
        """Log the event at the level debug."""
        logger.debug("shard released", extra={"action": "shard_released", "seconds": seconds, **_claim_fields(claim)})

    def call_ended(self, call: EndedCall) -> None:
        """Log a failed call at the level debug."""
        if call.outcome != SUCCEEDED and logger.isEnabledFor(logging.DEBUG):
            fields = _request_fields(call.batch, call.account, call.request)
            fields |= {"outcome": call.outcome, "seconds": call.seconds}
            logger.debug("call failed: %s", call.outcome, extra={"action": "call_failed", **fields})

    def call_retried(self, batch: Batch, account: str, request: RequestRow, reason: str) -> None:
        """Log the event at the level debug."""
        if logger.isEnabledFor(logging.DEBUG):
            fields = _request_fields(batch, account, request) | {"reason": reason}
            logger.debug("call retried after %s", reason, extra={"action": "call_retried", **fields})

    def requests_redelivered(self, claim: Claim, number: int) -> None:
        """Log the event."""
        fields = _claim_fields(claim) | {"requests": number}
        logger.info("%d requests redelivered", number, extra={"action": "requests_redelivered", **fields})

    def native_job_running(self, batch: Batch, job: NativeJob) -> None:
        """Log the event."""
        fields = {"action": "native_job_running", **_job_fields(batch, job)}
        logger.info("%d requests travel in job %s", job.requests, job.upstream_id, extra=fields)

    def native_job_ended(self, batch: Batch, job: NativeJob, *, rescued: int) -> None:
        """Log the event."""
        reason = "" if job.reason is None else f" ({job.reason})"
        then = f"; {rescued} run directly" if rescued else ""
        logger.info(
            "job %s is %s: %d of %d requests answered%s%s",
            job.upstream_id or job.token,
            job.state,
            job.answered,
            job.requests,
            then,
            reason,
            extra={"action": "native_job_ended", **_job_fields(batch, job)},
        )

    def native_paid_twice(self, batch: Batch, job: NativeJob, requests: int, spend: Spend) -> None:  # noqa: ARG002
        """Log the event."""
        fields = {"action": "native_job_late", **_job_fields(batch, job)} | {"requests": requests}
        message = "job %s answered %d requests after others had been called in their place: both are billed"
        logger.warning(message, job.upstream_id, requests, extra=fields)

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Log the event."""
        fields = {"batch": batch.id, "workspace": batch.workspace, "counts": msgspec.structs.asdict(counts)}
        logger.info("batch ended", extra={"action": "batch_ended", "seconds": seconds, **fields})


def _claim_fields(claim: Claim) -> dict[str, object]:
    batch = claim.batch
    return {"batch": batch.id, "workspace": batch.workspace, "shard": claim.shard.index, "epoch": claim.epoch}


def _job_fields(batch: Batch, job: NativeJob) -> dict[str, object]:
    call_fields = {"account": job.account, "model": job.model[:128]}
    return {"batch": batch.id, "workspace": batch.workspace, "requests": job.requests, **call_fields}


def _request_fields(batch: Batch, account: str, request: RequestRow) -> dict[str, object]:
    call_fields = {"account": account, "model": request.model[:128]}
    return {"batch": batch.id, "workspace": batch.workspace, "custom_id": request.custom_id, **call_fields}
