"""Estimates of the tokens of requests that were not sent."""

from __future__ import annotations

from msgspec import Struct


class TokenEstimate(Struct, frozen=True):
    """What one request will count as."""

    input: float
    """Tokens of its input."""
    output_limit: int | None
    """The most tokens that its answer may have, as the request says; None if it says nothing."""
    output: float | None = None
    """Tokens of its answer, as far as earlier answers tell; None if there are none."""


class LearnedTokens(Struct, frozen=True, kw_only=True):
    """What earlier answers of a model say about its tokens."""

    ratio: float
    """The input tokens that it counted, for each token that was estimated."""
    output: float
    """The average tokens of an answer."""

    def corrected(self, estimate: TokenEstimate) -> TokenEstimate:
        """Return a better estimate of a request for the model."""
        limit = estimate.output_limit
        output = self.output if limit is None else min(self.output, limit)
        return TokenEstimate(estimate.input * self.ratio, limit, output)
