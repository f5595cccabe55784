"""Plans requests anew that a job leaves unanswered, since it was stopped for its batch, which goes on."""

from __future__ import annotations

from collections.abc import Collection

from batchgate.engine.dispatch.endpoint import AccountEndpoint, lane_of
from batchgate.engine.dispatch.lane_choice import reason_for_size
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.native_job import NativeJob, pack_set
from batchgate.engine.native.job_groups import new_token
from batchgate.engine.native.stop_reasons import RESCUED


def replanned_job(
    job: NativeJob, missing: Collection[int], batch: Batch | None, endpoint: AccountEndpoint | None, now: int
) -> NativeJob | None:
    """Return a new job of the requests without a result; None if these run as those of any other job that has ended.

    That is so if the job was not stopped for its batch (`stop_reasons`), if the batch is over or has the lane
    ``direct`` now, if it was rescued and its requests may be called, and if they are too few for a job.
    """
    if not job.replans or not missing or batch is None or endpoint is None:
        return None
    lane = lane_of(batch.options, endpoint)
    if batch.status != "in_progress" or batch.expires_at <= now or lane == "direct":
        return None
    if job.reason == RESCUED and lane != "native":
        return None
    if reason_for_size(batch, endpoint, len(missing)) is not None:
        return None
    return NativeJob(
        batch_key=job.batch_key,
        token=new_token(),
        account=job.account,
        model=job.model,
        kind=job.kind,
        seqs=pack_set(missing),
        requests=len(missing),
        tokens=job.tokens * len(missing) // job.requests,
        created_at=now,
    )
