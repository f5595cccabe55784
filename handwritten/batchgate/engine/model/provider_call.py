"""What passes between the engine and a provider: accounts, request rows, HTTP calls and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.redacted_repr import redacted_repr

RowKind: TypeAlias = Literal["messages", "chat_completions", "responses", "embeddings", "completions"]
"""What a request is a request of: its wire format, and so that of its answer."""


class Price(Struct, frozen=True, kw_only=True):
    """What a million tokens of a model cost, in nano-dollars."""

    input: int
    cached_input: int
    output: int


class Account(Struct, frozen=True, kw_only=True):
    """A configured provider endpoint: where to call, as whom, and within which limits."""

    name: str
    """Unique among the accounts; what a ``name/model`` prefix or the x-model-provider header chooses."""
    provider: str
    """One of the names of the documented provider enum, or ``simulator``."""
    base_url: str
    """Without a trailing slash; where the paths of the provider's own documentation begin."""
    api_key: str | None = None
    concurrency: int = 64
    """The most requests in flight at once to one model of this account."""
    requests_per_minute: int | None = None
    """The most requests that begin in a minute, whatever their models."""
    tokens_per_minute: int | None = None
    """The most tokens that these may take, input and output together."""
    timeout: float = 600.0
    """Seconds for one call, from the first byte sent to the last received."""
    prices: Mapping[str, Price] = {}
    """By model; ``*`` is any other."""

    def __repr__(self) -> str:
        """Show the account without its key."""
        return f"Account(name={self.name!r}, provider={self.provider!r}, base_url={self.base_url!r})"


class RequestRow(Struct, frozen=True, kw_only=True):
    """One request of a batch as the engine hands it to a provider handler."""

    custom_id: str
    params: bytes
    """The raw JSON object of the request: the params or the body of its line."""
    model: str
    """The model to ask for upstream, any provider prefix taken off."""
    headers: Mapping[str, str]
    """Headers of the create call that hold for every request, lower case: anthropic-version, anthropic-beta, ..."""
    kind: RowKind = "messages"
    """The wire format of ``params``, in which the answer is given too."""


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """One HTTP POST to a provider."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float

    def __repr__(self) -> str:
        """Show the call without its headers, of which one is the key, and without what it asks."""
        return redacted_repr(self, "headers", "body")


class UpstreamResponse(Struct, frozen=True, kw_only=True):
    """What the provider sent back, whole; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Show the answer without what it says, which may be the key that the call came with."""
        return redacted_repr(self, "headers", "body")


class Allowance(Struct, frozen=True, kw_only=True):
    """What a provider says is left of one of its limits."""

    unit: Literal["requests", "tokens"]
    remaining: float
    reset: float
    """Seconds until the limit is whole again."""
