"""Estimates of the tokens of requests that were not sent."""

from __future__ import annotations

from msgspec import Struct


class TokenEstimate(Struct, frozen=True):
    """What one request will count as."""

    input: float
    """Tokens of its input."""
    output_limit: int | None
    """The most tokens that its answer may have, as the request says; None if it says nothing."""
