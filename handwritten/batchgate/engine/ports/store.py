"""The whole store: all of its parts on one database."""

from __future__ import annotations

from typing import Protocol

from batchgate.engine.ports.batch_store import BatchStore
from batchgate.engine.ports.blob_registry import BlobRegistry
from batchgate.engine.ports.file_store import FileStore
from batchgate.engine.ports.native_store import NativeJobStore
from batchgate.engine.ports.shard_store import ShardStore
from batchgate.engine.ports.task_store import TaskStore
from batchgate.engine.ports.validation_store import ValidationStore


class Store(BatchStore, ValidationStore, ShardStore, TaskStore, NativeJobStore, FileStore, BlobRegistry, Protocol):
    """All parts of the store, on one database."""

    def state(self) -> object | None:
        """Return the same object as before if nothing was committed since, by any process; None if that is not known.

        What is read afterwards is not older. A caller that knows of a commit, and asks then, gets another object.
        """
        ...
