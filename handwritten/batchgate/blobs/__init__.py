"""Where bodies are kept: implementations of the engine's `Blobs`."""

from batchgate.blobs.object_store import ObjectStoreBlobs

__all__ = ["ObjectStoreBlobs"]
