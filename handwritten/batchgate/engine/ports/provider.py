"""How a provider is called: who carries a call, who writes it and reads its answer, who meters it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.provider_call import Account, Allowance, RequestRow, UpstreamRequest, UpstreamResponse


class Transport(Protocol):
    """Carries one call to a provider."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and wait for the whole answer; raises `UpstreamUnreachable` when none comes."""
        ...


class ProviderHandler(Protocol):
    """Speaks one provider's dialect: pure functions around a call, no I/O of its own."""

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Write the call for a row; raises `RequestError` when the row is wrong or cannot be said."""
        ...

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Read the answer as one object of the row's kind, JSON without newlines.

        Raises `UpstreamError` when the provider answered with an error or not in its dialect.
        """
        ...


class Meter(Protocol):
    """Reads what calls cost and what is left for others: pure, and cheap where there is nothing to read."""

    def estimate_tokens(self, request: UpstreamRequest) -> int:
        """Tell about how many tokens a call will take at the most."""
        ...

    def tokens_used(self, response: UpstreamResponse) -> int | None:
        """Read how many tokens a call took, if its answer says so."""
        ...

    def allowances(self, response: UpstreamResponse) -> Sequence[Allowance]:
        """Read what the provider says is left of its limits."""
        ...
