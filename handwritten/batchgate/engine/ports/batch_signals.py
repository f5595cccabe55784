"""Signals to the background services of this process that a batch needs work."""

from __future__ import annotations

from typing import Protocol


class BatchSignals(Protocol):
    """Starts work on a batch at once. Signals may be lost: the sweeper finds the batch later."""

    def stop_sending(self, batch_key: int, *, expired: bool = False) -> None:
        """Stop sending requests of a batch that was canceled, or has ``expired``."""
        ...

    def steer(self) -> None:
        """Apply what was done to any batch: it was paused or resumed, for example."""
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

    def stop_sending(self, batch_key: int, *, expired: bool = False) -> None:
        """Do nothing."""

    def steer(self) -> None:
        """Do nothing."""

    def finalize(self, batch_key: int) -> None:
        """Do nothing."""

    def validate(self, batch_key: int) -> None:
        """Do nothing."""

    def plan(self, batch_key: int) -> None:
        """Do nothing."""
