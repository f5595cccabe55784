"""What an answer says about itself."""

from __future__ import annotations

from msgspec import Struct

from batchgate.engine.model.usage import Usage


class AnswerFacts(Struct, frozen=True, kw_only=True):
    """What an answer says beside its content, for traces."""

    model: str | None = None
    """The model that answered, as the provider names it."""
    finish_reasons: tuple[str, ...] = ()
    """Why it stopped, in the words of its dialect; one for each choice."""
    usage: Usage | None = None
