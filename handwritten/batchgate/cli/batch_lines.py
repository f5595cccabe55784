"""Lines that say how far batches are, where there is no terminal: at each change that matters, and once a minute."""

from __future__ import annotations

from collections.abc import Iterator

from batchgate.cli.command_text import Command
from batchgate.cli.forecast_text import short_forecast
from batchgate.cli.pause_help import pause_help
from batchgate.cli.progress_bar import Counts, finished
from batchgate.cli.rendering import outcome, pause_text
from batchgate_api.gateway import BatchSummary


class BatchLines:
    """Knows which batches are unfinished, and how each was last shown; ``command`` makes commands for help texts."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self.unfinished: dict[str, BatchSummary] = {}

    def change(self, batch: BatchSummary) -> str | None:
        """Take the present state of a batch; return its line if its status or its pause has changed."""
        before = self.unfinished.get(batch.id)
        self.unfinished[batch.id] = batch
        if batch.ended_at is not None:
            del self.unfinished[batch.id]
        return None if before is not None and _state(before) == _state(batch) else batch_line(batch, self._command)

    def all(self) -> Iterator[str]:
        """Return the line of each unfinished batch."""
        return (batch_line(batch, self._command) for batch in self.unfinished.values())


def batch_line(batch: Counts, command: Command) -> str:
    """Return how far a batch is: ``ID in_progress 50/100: 50 processing, 50 succeeded; 2.5/s, 20 s left``.

    Of a paused batch it says why, and how it goes on.
    """
    counts = f"{batch.id} {batch.status} {finished(batch)}/{batch.total}: {outcome(batch)}"
    pause = batch.paused
    waits = () if pause is None else (pause_text(pause), pause_help(batch.id, pause.code, command))
    return "; ".join([counts, *filter(None, (short_forecast(batch.forecast), *waits))])


def _state(batch: BatchSummary) -> tuple[str, str | None]:
    """Return what a change of is shown; the reason of a pause may count seconds."""
    return batch.status, None if batch.paused is None else batch.paused.code
