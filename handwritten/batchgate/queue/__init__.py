"""Where shards wait for a worker: implementations of the engine's `Queue`."""

from batchgate.queue.memory import MemoryQueue

__all__ = ["MemoryQueue"]
