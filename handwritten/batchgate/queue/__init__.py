"""Implementations of the engine's `Queue`: shards that wait for a worker."""

from batchgate.queue.memory import MemoryQueue

__all__ = ["MemoryQueue"]
