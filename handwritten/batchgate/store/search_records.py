"""Statements, parameters and pages of a search for batches, the same for every database.

A search reads at most `SCANNED` rows, in the order of creation: those that one filter with an index allows. The other
filters leave out some of these. If rows are left then, the page ends at the last row that was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from batchgate.engine.model.batch import BatchFilters, BatchSearchPage
from batchgate.store.list_records import NO_UPPER_BOUND
from batchgate.store.records import Row, batch_from_row

SCANNED: Final = 2000
"""Rows that one search reads at most."""


def search_query(filters: BatchFilters) -> str:
    """Return the name of the statement whose index leaves the fewest rows."""
    if filters.name is not None:
        return "search_by_name"
    if filters.model is not None:
        return "search_by_model"
    return "search_all" if filters.status is None else "search_by_status"


def search_row(workspace: str, filters: BatchFilters, after: tuple[int, int] | None, limit: int) -> dict[str, Any]:
    """Return the parameters of a search; ``after`` are the creation time and the key of the last batch before."""
    before = (NO_UPPER_BOUND if filters.created_before is None else filters.created_before, 0)
    created, key = before if after is None else min(before, after)
    return {
        "workspace": workspace,
        "name": filters.name,
        "metadata": None if filters.metadata is None else msgspec.json.encode(filters.metadata).decode(),
        "status": filters.status,
        "model": filters.model,
        "account": filters.account,
        "created_after": filters.created_after,
        "created": created,
        "key": key,
        "scanned": SCANNED if _has_other_filters(filters) else min(limit + 1, SCANNED),
        "limit": limit + 1,
    }


def _has_other_filters(filters: BatchFilters) -> bool:
    """Return whether filters leave out some of the rows that the statement's index allows."""
    by_index = (filters.name, filters.model, filters.status)
    if filters.account is not None or filters.metadata is not None:
        return True
    return sum(value is not None for value in by_index) > 1


def search_page(rows: Sequence[Row], limit: int) -> BatchSearchPage:
    """Return the page in rows: those that match, and the last one that was read if the search ended there."""
    matching = [row for row in rows if row["matches"]]
    batches = tuple(batch_from_row(row) for row in matching[:limit])
    if len(matching) > limit:
        return BatchSearchPage(batches=batches, next=batches[-1].id)
    is_cut = bool(rows) and rows[-1]["place"] == SCANNED
    return BatchSearchPage(batches=batches, next=rows[-1]["id"] if is_cut else None)
