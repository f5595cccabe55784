"""Marks of sent requests, across restarts of the process."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchgate.engine.model.shard import SHARD_REQUESTS
from batchgate.store.postgres.sent_marks import SentMarks as PostgresSentMarks
from batchgate.store.sqlite.sent_marks import SentMarks

A, B, C = (1, 0), (1, 1), (2, 0)


@contextmanager
def marks(path: Path, *open_shards: tuple[int, int]) -> Iterator[SentMarks]:
    found = SentMarks(path)
    found.open(open_shards)
    yield found
    found.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "marks"


def test_the_next_process_reads_the_marks_that_are_set_and_not_cleared(path: Path) -> None:
    with marks(path) as first:
        assert first.load(A) == []
        assert first.load(B) == []
        for number in (0, 7, SHARD_REQUESTS - 1):
            first.mark(A, number, sent=True)
        first.mark(A, 7, sent=False)
        first.mark(B, 3, sent=True)
    with marks(path, A, B) as second:
        assert second.load(A) == [0, SHARD_REQUESTS - 1]
        assert second.load(B) == [3]


def test_marks_of_finished_shards_are_dropped_and_their_slots_reused(path: Path) -> None:
    with marks(path) as first:
        for shard_key in (A, B):
            first.load(shard_key)
            first.mark(shard_key, 1, sent=True)
        first.drop(A)
        size = path.stat().st_size
        assert first.load(C) == []
        assert path.stat().st_size == size
    with marks(path, C) as second:
        assert second.load(B) == []
        assert path.stat().st_size == size


def test_a_shard_without_a_slot_has_no_marks(path: Path) -> None:
    with marks(path) as only:
        only.mark(A, 1, sent=True)
        assert only.load(A) == []
        only.mark(A, 100_000, sent=True)
        assert only.load(A) == []


def test_a_truncated_file_is_read_up_to_its_last_whole_slot(path: Path) -> None:
    with marks(path) as first:
        for shard_key in (A, B):
            first.load(shard_key)
            first.mark(shard_key, 1, sent=True)
    path.write_bytes(path.read_bytes()[:-5])
    with marks(path, A, B) as second:
        assert second.load(A) == [1]
        assert second.load(B) == []
        second.mark(B, 2, sent=True)
    with marks(path, A, B) as third:
        assert third.load(B) == [2]


async def test_marks_that_are_being_written_are_returned_to_the_next_claim_of_the_same_process() -> None:
    # A claim read the stored marks during a write, and the requests in that write were not counted as redelivered.
    started, proceed = asyncio.Event(), asyncio.Event()

    async def write(_: Mapping[str, Sequence[object]]) -> None:
        started.set()
        await proceed.wait()

    sent_marks = PostgresSentMarks(write)
    assert sent_marks.load(A, 1, 8, b"") == []
    sent_marks.mark(A, 1, 3, sent=True)
    writing = asyncio.create_task(sent_marks.flush())
    await started.wait()
    sent_marks.release(A, 1)
    assert sent_marks.load(A, 2, 8, b"") == [3]
    proceed.set()
    await writing


def test_stored_marks_win_if_another_process_had_the_shard_since() -> None:
    async def write(_: Mapping[str, Sequence[object]]) -> None:
        raise AssertionError

    sent_marks = PostgresSentMarks(write)
    sent_marks.load(A, 1, 8, b"")
    sent_marks.mark(A, 1, 3, sent=True)
    assert sent_marks.load(A, 3, 8, b"\x01") == [0]
