"""Where bodies are kept: implementations of the engine's `Blobs`."""

from batchgate.blobs.bucket import BucketBlobs
from batchgate.blobs.folder import FolderBlobs
from batchgate.blobs.object_store import SETTLES
from batchgate.blobs.place import open_blobs, place_of

__all__ = ["SETTLES", "BucketBlobs", "FolderBlobs", "open_blobs", "place_of"]
