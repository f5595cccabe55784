"""The permission to have one call in flight."""

from __future__ import annotations

from msgspec import Struct


class Permit(Struct, gc=False, eq=False):
    """What a limiter records when a call starts, and needs when it ends."""

    started_at: float
    """When it was granted, by the clock of the event loop."""
    load: int
    """The calls in flight when it was granted, this one included."""
    estimated_tokens: int
    is_retry: bool = False
    """An earlier call for the same request has failed."""
    is_probe: bool = False
    """It is the only call that an open circuit breaker lets through, to test the provider."""
