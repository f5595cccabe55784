"""Shows why the requests of a batch wait: a caller has paused the batch, or its account is paused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from batchgate.engine.model.batch import BatchPause
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.times import rfc3339
from batchgate_api import gateway

WITHOUT_REASON: Final = "a caller has paused the batch"


def pause_view(pause: BatchPause | AccountPause, jobs: Iterable[NativeJob]) -> gateway.BatchPause:
    """Return a pause as the API shows it, of a batch with these jobs; the ended ones may be missing."""
    since, reason = rfc3339(pause.since), pause.reason or WITHOUT_REASON
    if isinstance(pause, AccountPause):
        return gateway.BatchPause(
            state="paused", code=pause.code, reason=reason, since=since, by=None, native_jobs=None
        )
    return gateway.BatchPause(
        state="paused" if pause.is_complete(jobs) else "pausing",
        code=pause.code,
        reason=reason,
        since=since,
        by=pause.by or None,
        native_jobs=pause.native_jobs,
    )
