"""Blobs that batches and files own: what they must contain, and how far the scrub of them has come."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.file import File

BlobKind: TypeAlias = Literal["results", "file"]
"""A result file of a batch, or an uploaded file."""
BLOB_KINDS: Final[tuple[BlobKind, ...]] = get_args(BlobKind)


class BlobOwner(Struct, frozen=True, order=True):
    """Identifies the owner of a blob: the database key of a batch or of a file, by the kind of the blob."""

    kind: BlobKind
    key: int


class StoredBlob(Struct, frozen=True, kw_only=True):
    """A blob as its owner's row describes it."""

    owner: BlobOwner
    id: str
    """The id of the batch or file that owns it."""
    workspace: str
    name: str
    size: int | None
    """Its size in bytes; None if it is unknown."""
    sha256: bytes | None
    """Its SHA-256; None or empty if it is unknown."""

    @property
    def description(self) -> str:
        """Name the blob for an operator."""
        what = f"the results of batch {self.id}" if self.owner.kind == "results" else f"file {self.id}"
        return f"{what} of workspace {self.workspace}"


class ScrubState(Struct, frozen=True, kw_only=True):
    """How far the present round has come. A round goes through the result files, then through the uploaded files."""

    kind: BlobKind | None = None
    """What is being checked; None if the round has ended."""
    after: int = 0
    """The key of the last owner that was checked."""
    started_at: int
    """When the round began, in microseconds since the epoch."""
    checked: int = 0
    """How many blobs it has checked."""
    damaged: tuple[BlobOwner, ...] = ()
    """The owners of the blobs that are damaged."""


def stored_results(batch: Batch) -> StoredBlob:
    """Describe the result file of a batch that has one."""
    assert batch.results_blob is not None
    return StoredBlob(
        owner=BlobOwner("results", batch.key),
        id=batch.id,
        workspace=batch.workspace,
        name=batch.results_blob,
        size=batch.results_size,
        sha256=batch.results_sha256,
    )


def stored_file(file: File) -> StoredBlob:
    """Describe the content of an uploaded file."""
    assert file.blob is not None
    return StoredBlob(
        owner=BlobOwner("file", file.key),
        id=file.id,
        workspace=file.workspace,
        name=file.blob,
        size=file.size,
        sha256=file.sha256,
    )
