"""Statements, parameters and pages of lists of batches, the same for every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from batchgate.engine.model.batch import Batch, BatchPage

NO_UPPER_BOUND: Final = 2**63 - 1
"""Larger than every key and every time."""


class ListQuery(Struct, frozen=True, kw_only=True):
    """The statement that reads a page of batches, and its parameters."""

    name: str
    params: dict[str, str | int | None]
    limit: int
    newest_last: bool

    def page(self, found: Sequence[Batch]) -> BatchPage:
        """Return the page, newest first; one more batch than the limit says that there are more."""
        batches = found[: self.limit]
        ordered = tuple(reversed(batches) if self.newest_last else batches)
        return BatchPage(batches=ordered, has_more=len(found) > self.limit)


def list_query(
    workspace: str, *, older_than: int | None, newer_than: int | None, provider: str | None, limit: int
) -> ListQuery:
    """Return the query for the batches of a workspace; see `BatchStore.list_batches`."""
    newest_last = newer_than is not None and older_than is None
    params: dict[str, str | int | None] = {
        "workspace": workspace,
        "provider": provider,
        "older_than": NO_UPPER_BOUND if older_than is None else older_than,
        "newer_than": newer_than or 0,
        "limit": limit + 1,
    }
    name = ("list_newer" if newest_last else "list_older") + ("_of_provider" if provider else "")
    return ListQuery(name=name, params=params, limit=limit, newest_last=newest_last)
