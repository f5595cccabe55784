"""Signals to the background services of this process about one batch."""

from __future__ import annotations

from typing import Protocol


class BatchSignals(Protocol):
    """Starts work on a batch at once; the sweeper finds what no signal started."""

    def stop_sending(self, batch_key: int) -> None:
        """Send no more requests of a batch."""
        ...

    def finalize(self, batch_key: int) -> None:
        """Write the result file of a batch whose shards are all done."""
        ...

    def validate(self, batch_key: int) -> None:
        """Validate the file of a batch."""
        ...


class NoBatchSignals:
    """The `BatchSignals` of a gateway without a worker: the store notifies the processes that have one."""

    def stop_sending(self, batch_key: int) -> None:
        """Do nothing."""

    def finalize(self, batch_key: int) -> None:
        """Do nothing."""

    def validate(self, batch_key: int) -> None:
        """Do nothing."""
