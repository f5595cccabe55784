"""Request counts and token usage of batches."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs


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

    def with_results(self, succeeded: int, errored: int) -> Counts:
        """Return the counts with so many more results."""
        return structs.replace(self, succeeded=self.succeeded + succeeded, errored=self.errored + errored)


class Usage(Struct, frozen=True, kw_only=True):
    """The token usage of answers, as counted by the providers."""

    input_tokens: int = 0
    cached_tokens: int = 0
    """The input tokens that came from a cache; part of ``input_tokens``."""
    cache_write_tokens: int = 0
    """The input tokens that were written to a cache; part of ``input_tokens``."""
    long_cache_write_tokens: int = 0
    """Those of them that the cache keeps for an hour."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """The output tokens that are not part of the visible answer; part of ``output_tokens``."""


def total_usage(usages: Sequence[Usage]) -> Usage:
    """Add up the usage of many answers: one sum of each count takes a third of the time of a `Usage` for each step."""
    return Usage(
        input_tokens=sum([usage.input_tokens for usage in usages]),
        cached_tokens=sum([usage.cached_tokens for usage in usages]),
        cache_write_tokens=sum([usage.cache_write_tokens for usage in usages]),
        long_cache_write_tokens=sum([usage.long_cache_write_tokens for usage in usages]),
        output_tokens=sum([usage.output_tokens for usage in usages]),
        reasoning_tokens=sum([usage.reasoning_tokens for usage in usages]),
    )
