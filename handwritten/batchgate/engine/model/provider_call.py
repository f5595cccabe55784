"""Calls to providers: accounts, request rows, HTTP requests and responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.lane import Lane
from batchgate.engine.model.redacted_repr import redacted_repr

RowKind: TypeAlias = Literal["messages", "chat_completions", "responses", "embeddings", "completions"]
"""The API that a request is written for; it determines the wire formats of request and answer."""


class Price(Struct, frozen=True, kw_only=True):
    """The price of a million tokens of a model, in nano-dollars."""

    input: int
    cached_input: int
    output: int


class Account(Struct, frozen=True, kw_only=True):
    """A configured provider endpoint: its URL, its credentials and its limits."""

    name: str
    """Unique among the accounts; a ``name/model`` prefix or the x-model-provider header selects the account by it."""
    provider: str
    """A name from the documented provider enum, or ``simulator``."""
    base_url: str
    """The URL that the paths in the provider's documentation are relative to; no trailing slash."""
    api_key: str | None = None
    concurrency: int = 64
    """The maximum number of requests in flight to one model of this account."""
    requests_per_minute: int | None = None
    """The maximum number of requests sent in a minute, for all models together."""
    tokens_per_minute: int | None = None
    """The maximum number of tokens of these requests, input and output together."""
    timeout: float = 600.0
    """Seconds for one call, from the first byte sent to the last byte received."""
    lane: Lane = "direct"
    """The lane of batches that ask for none."""
    enqueued_tokens: int | None = None
    """The provider's limit of tokens that may wait in its batch queue for one model; None if it is not known."""
    prices: Mapping[str, Price] = {}
    """Prices by model; ``*`` is the price of every other model."""

    def __repr__(self) -> str:
        """Return a repr without the key, and without a password in the URL."""
        scheme, _, rest = self.base_url.partition("://")
        authority, slash, path = rest.partition("/")
        base_url = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
        return f"Account(name={self.name!r}, provider={self.provider!r}, base_url={base_url!r})"


class RequestRow(Struct, frozen=True, kw_only=True):
    """One request of a batch, as the engine passes it to a provider handler."""

    custom_id: str
    params: bytes
    """The raw JSON object of the request: ``params`` or ``body`` of its line."""
    model: str
    """The model to request from the provider, without an account prefix."""
    headers: Mapping[str, str]
    """Headers of the create call that are sent with each request, lower case: anthropic-version, anthropic-beta, ..."""
    kind: RowKind = "messages"
    """The wire format of ``params`` and of the answer."""


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """One HTTP POST to a provider."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float

    def __repr__(self) -> str:
        """Return a repr without the headers, which contain the key, and without the body."""
        return redacted_repr(self, "headers", "body")


class UpstreamResponse(Struct, frozen=True, kw_only=True):
    """The complete response of a provider; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Return a repr without headers and body, which may quote the key."""
        return redacted_repr(self, "headers", "body")


class RemainingLimit(Struct, frozen=True, kw_only=True):
    """What remains of one of the provider's rate limits, as its response states."""

    unit: Literal["requests", "tokens"]
    remaining: float
    reset: float
    """Seconds until the full limit is available again."""
