"""Calls to providers: transport, encoding and decoding, and token counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from batchgate.engine.model.provider_call import Account, RemainingLimit, RequestRow, UpstreamRequest, UpstreamResponse


class Transport(Protocol):
    """Sends HTTP requests to a provider."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a request and return the complete response; raises `NoUpstreamAnswer` if there is none."""
        ...


class ContentTransport(Protocol):
    """Sends HTTP requests whose answers are content, such as audio."""

    async def receive(self, request: UpstreamRequest, write: Callable[[bytes], Awaitable[None]]) -> UpstreamResponse:
        """Send a request, pass the content of its answer on in pieces, and return the response without it.

        An answer that has another status than 2xx, or is JSON, is returned with its body instead. Raises
        `NoUpstreamAnswer` if there is no complete answer.
        """
        ...


class ProviderHandler(Protocol):
    """Encodes requests and decodes responses in one provider's dialect; does no I/O."""

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Encode a row as an HTTP request; raises `RequestError` if the row is invalid or cannot be translated."""
        ...

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Decode the response into one object of the row's kind: JSON without newlines.

        Raises `UpstreamError` if the provider returned an error or something that is not in its dialect.
        """
        ...


class TokenMeter(Protocol):
    """Reads token counts, costs and remaining rate limits of calls; does no I/O."""

    def estimate_tokens(self, request: UpstreamRequest) -> int:
        """Estimate the maximum number of tokens of a call."""
        ...

    def tokens_used(self, response: UpstreamResponse) -> int | None:
        """Return the number of tokens of a call, if its response states it."""
        ...

    def stated_cost(self, response: UpstreamResponse, *, native: bool) -> int | None:
        """Return what an answer says that it has cost in its lane, in nano-dollars; None if it does not say."""
        ...

    def allowances(self, response: UpstreamResponse) -> Sequence[RemainingLimit]:
        """Return what remains of the provider's rate limits, as its response states."""
        ...
