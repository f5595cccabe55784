"""Shows why the requests of a batch wait: a caller has paused the batch, or its account is paused."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.batch import BatchPause
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.times import rfc3339
from batchgate_api import gateway

WITHOUT_REASON: Final = "a caller has paused the batch"


def pause_view(pause: BatchPause | AccountPause) -> gateway.BatchPause:
    """Return a pause as the API shows it."""
    by = pause.by or None if isinstance(pause, BatchPause) else None
    since = rfc3339(pause.since)
    return gateway.BatchPause(code=pause.code, reason=pause.reason or WITHOUT_REASON, since=since, by=by)
