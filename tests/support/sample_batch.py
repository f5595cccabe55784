"""A batch as the store returns it, for tests that render one."""

from __future__ import annotations

from typing import Any

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.usage import Counts


def sample_batch(**more: Any) -> Batch:
    """Make a running batch; keyword arguments replace its default values."""
    values: dict[str, Any] = {
        "key": 1,
        "id": "batch_01",
        "workspace": "default",
        "dialect": "openai",
        "provider": "simulator",
        "headers": {},
        "status": "in_progress",
        "counts": Counts(total=2),
        "repeated": 0,
        "created_at": 0,
        "expires_at": 1,
        "cancel_initiated_at": None,
        "ended_at": None,
        "archived_at": None,
        "fingerprint": b"",
        "input_blob": "input",
        "results_blob": None,
        "results_size": None,
    }
    return Batch(**(values | more))
