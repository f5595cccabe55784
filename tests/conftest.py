"""What holds for all suites."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Exclude all modules and tests from garbage collections, as a gateway does, which took a fifth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
