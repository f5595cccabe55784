"""A call that waits for a permit of a limiter, and its precedence among others."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from batchgate.engine.dispatch.limits.permit import Permit

Precedence: TypeAlias = tuple[int, int, int]
"""The order of calls, the smallest first: demotions of the request, its index in its batch, the key of the batch.

The index counts before the batch, as shards are claimed by their index too. So the first requests of a new batch go
before the later ones of an old batch.
"""


class Waiter:
    """A call that waits."""

    __slots__ = ("admission", "is_retry", "not_before", "precedence", "refused_at", "tokens")

    def __init__(
        self,
        admission: asyncio.Future[Permit],
        precedence: Precedence,
        tokens: int,
        not_before: float,
        refused_at: float,
        *,
        is_retry: bool,
    ) -> None:
        self.admission = admission
        """Resolves to the permit; cancelled when the caller stops waiting."""
        self.precedence = precedence
        self.tokens = tokens
        self.not_before = not_before
        """When its delay ends."""
        self.is_retry = is_retry
        """Whether an earlier call for the same request has failed."""
        self.refused_at = refused_at
        """When the provider refused it for load; infinity if it is delayed for another reason."""
