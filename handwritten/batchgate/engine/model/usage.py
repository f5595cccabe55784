"""How many requests of a batch have ended, and how many tokens their answers took."""

from __future__ import annotations

from msgspec import Struct


class Counts(Struct, frozen=True, kw_only=True):
    """The requests of a batch that have ended, by how; those that have not are ``total`` less their sum."""

    total: int
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def processing(self) -> int:
        """How many have not ended."""
        return self.total - self.succeeded - self.errored - self.canceled - self.expired


class Usage(Struct, frozen=True, kw_only=True):
    """The tokens that answers took, as their providers count them."""

    input_tokens: int = 0
    cached_tokens: int = 0
    """Those of the input that came from a cache."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """Those of the output that nobody is shown."""

    def __add__(self, other: Usage) -> Usage:
        """Add up."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )
