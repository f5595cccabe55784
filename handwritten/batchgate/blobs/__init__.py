"""Where bodies are kept: implementations of the engine's `Blobs`."""

from batchgate.blobs.bucket import BucketBlobs
from batchgate.blobs.folder import FolderBlobs
from batchgate.blobs.place import open_blobs, place_of

__all__ = ["BucketBlobs", "FolderBlobs", "open_blobs", "place_of"]
