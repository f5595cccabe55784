"""Implementations of the engine's `Blobs`: storage for request and result files."""

from batchgate.blobs.bucket import BucketBlobs
from batchgate.blobs.folder import FolderBlobs
from batchgate.blobs.location import blob_location, open_blobs
from batchgate.blobs.object_store import THREAD_RELEASE_DELAY

__all__ = ["THREAD_RELEASE_DELAY", "BucketBlobs", "FolderBlobs", "blob_location", "open_blobs"]
