"""Conversions between database rows and the failures of batches, the same for every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from batchgate.engine.model.failure import FailureGroup
from batchgate.store.records import Row

_GROUPS: Final = msgspec.json.Decoder(tuple[FailureGroup, ...])


def failures_row(batch_key: int, groups: Sequence[FailureGroup]) -> dict[str, object]:
    """Return the parameters that store the failures of a batch."""
    return {"batch_key": batch_key, "failures": msgspec.json.encode(groups)}


def failures_from_row(row: Row | None) -> tuple[FailureGroup, ...]:
    """Return the failures in a row; none if there is no row."""
    return () if row is None else _GROUPS.decode(row["failures"])
