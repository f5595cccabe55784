"""Signals to the background services of this process that a batch needs work."""

from __future__ import annotations

from typing import Protocol


class BatchSignals(Protocol):
    """Starts work on a batch at once. Signals may be lost: the sweeper finds the batch later."""

    def stop_sending(self, batch_key: int) -> None:
        """Stop sending requests of a batch."""
        ...

    def finalize(self, batch_key: int) -> None:
        """Write the result file of a batch whose shards are all done."""
        ...

    def validate(self, batch_key: int) -> None:
        """Validate the input file of a batch."""
        ...

    def plan(self, batch_key: int) -> None:
        """Plan the lanes of a batch."""
        ...


class NoBatchSignals:
    """The `BatchSignals` of a gateway without a worker: the store notifies the processes that have one."""

    def stop_sending(self, batch_key: int) -> None:
        """Do nothing."""

    def finalize(self, batch_key: int) -> None:
        """Do nothing."""

    def validate(self, batch_key: int) -> None:
        """Do nothing."""

    def plan(self, batch_key: int) -> None:
        """Do nothing."""
