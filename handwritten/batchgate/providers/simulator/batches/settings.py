"""Settings of the simulated batch APIs: how long the phases of a job take, and limits."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from batchgate.providers.simulator.simulator import Count, Seconds

PositiveCount: TypeAlias = Annotated[int, Meta(ge=1)]


class BatchSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of all simulated batch APIs; a job keeps those it was created with."""

    validating: Seconds = 5.0
    """Simulated seconds in which an input file is validated; Anthropic has no such phase."""
    running: Seconds = 30.0
    """Simulated seconds in which all rows of a job are answered, evenly."""
    finalizing: Seconds = 2.0
    """Simulated seconds in which result files are written; Anthropic has no such phase."""
    cancelling: Seconds = 5.0
    """Simulated seconds from the cancellation of a job to its end."""
    file_pending: Seconds = 2.0
    """Simulated seconds in which an uploaded file is ``pending``, for providers that have such a status."""
    min_rows: PositiveCount = 1
    """Minimum number of rows of a job of Bedrock, whose own is 100 by default."""
    max_rows: PositiveCount | None = None
    """Maximum number of rows of a job, in place of the provider's own."""
    max_bytes: PositiveCount | None = None
    """Maximum size of an input file or of a create call, in place of the provider's own."""
    enqueued_tokens: Count | None = None
    """Maximum number of input tokens of all jobs of one key and model that have not ended; no limit if not set."""
    refused_text: str | None = None
    """The validation of a file fails for each line with this text, at the providers whose files are as OpenAI's."""
    models: tuple[str, ...] | None = None
    """The models that exist; if not set, every model does."""
