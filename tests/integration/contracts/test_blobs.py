"""The contract of `Blobs`, kept by every implementation."""

import os
from pathlib import Path

import pytest

from batchgate.blobs import ObjectStoreBlobs
from batchgate.engine.errors import BlobError
from batchgate.engine.ports import Blobs

NAME = "batches/b/input.jsonl"
LARGE = bytes(range(256)) * 12_000


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return ObjectStoreBlobs(tmp_path / "blobs")


async def write(blobs: Blobs, name: str, *pieces: bytes) -> None:
    writer = blobs.writer(name)
    for piece in pieces:
        await writer.write(piece)
    await writer.commit()


async def read(blobs: Blobs, name: str) -> bytes:
    return b"".join([piece async for piece in blobs.stream(name)])


@pytest.mark.parametrize("pieces", [(b"",), (b"one", b"two"), (LARGE, b"", LARGE)], ids=["empty", "small", "large"])
async def test_a_committed_blob_is_read_back_byte_for_byte(blobs: Blobs, pieces: tuple[bytes, ...]) -> None:
    await write(blobs, NAME, *pieces)
    assert await read(blobs, NAME) == b"".join(pieces)


async def test_a_range_is_exactly_the_bytes_asked_for(blobs: Blobs) -> None:
    await write(blobs, NAME, b"0123456789")
    assert await blobs.read_range(NAME, 3, 4) == b"3456"
    with pytest.raises(BlobError):
        await blobs.read_range(NAME, 8, 4)


@pytest.mark.parametrize("size", [10, len(LARGE)], ids=["small", "large"])
async def test_an_aborted_blob_never_exists_and_leaves_nothing(blobs: Blobs, tmp_path: Path, size: int) -> None:
    writer = blobs.writer(NAME)
    await writer.write(LARGE[:size])
    await writer.abort()
    with pytest.raises(BlobError):
        await read(blobs, NAME)
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


async def test_a_blob_does_not_exist_before_its_commit(blobs: Blobs) -> None:
    writer = blobs.writer(NAME)
    await writer.write(LARGE)
    with pytest.raises(BlobError):
        await read(blobs, NAME)
    await writer.abort()


async def test_a_committed_blob_is_on_the_disk_with_all_the_names_that_lead_to_it(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    await write(blobs, NAME, b"kept")
    path = blobs.local_path(NAME)
    if path is not None:
        folders = [folder for folder in path.parents if folder.is_relative_to(tmp_path / "blobs")]
        assert len(folders) == 3
        assert {place.stat().st_ino for place in (path, *folders)} <= synced


async def test_abort_after_a_commit_does_nothing(blobs: Blobs) -> None:
    writer = blobs.writer(NAME)
    await writer.write(b"kept")
    await writer.commit()
    await writer.abort()
    assert await read(blobs, NAME) == b"kept"


async def test_a_deleted_blob_is_gone_and_deleting_it_again_is_no_error(blobs: Blobs) -> None:
    await write(blobs, NAME, b"x")
    await blobs.delete(NAME)
    await blobs.delete(NAME)
    with pytest.raises(BlobError):
        await blobs.read_range(NAME, 0, 1)


async def test_a_delete_takes_what_a_writer_that_died_has_left(blobs: Blobs, tmp_path: Path) -> None:
    other = blobs.writer("batches/c/input.jsonl")
    await other.write(LARGE)
    left = blobs.writer(NAME)  # never ended, as by a process that was killed
    await left.write(LARGE)
    await blobs.delete(NAME)
    folder = tmp_path / "blobs" / "batches"
    assert not (folder / "b").exists()
    await other.commit()
    assert await read(blobs, "batches/c/input.jsonl") == LARGE


async def test_a_local_path_leads_to_the_bytes_of_the_blob(blobs: Blobs) -> None:
    await write(blobs, NAME, b"here")
    path = blobs.local_path(NAME)
    assert path is None or path.read_bytes() == b"here"
