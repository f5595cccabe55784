"""Request counts and token usage of batches."""

from __future__ import annotations

from msgspec import Struct


class Counts(Struct, frozen=True, kw_only=True):
    """The number of requests of a batch, in total and by how they ended."""

    total: int
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def processing(self) -> int:
        """The number of requests that have not ended."""
        return self.total - self.succeeded - self.errored - self.canceled - self.expired


class Usage(Struct, frozen=True, kw_only=True):
    """The token usage of answers, as counted by the providers."""

    input_tokens: int = 0
    cached_tokens: int = 0
    """The input tokens that came from a cache; part of ``input_tokens``."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """The output tokens that are not part of the visible answer; part of ``output_tokens``."""

    def __add__(self, other: Usage) -> Usage:
        """Add each count."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )
