"""The marks of what was sent, across the life of processes."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchgate.engine.model.shard import SHARD_REQUESTS
from batchgate.store.postgres.sent_marks import SentMarks as MarksWrittenBehind
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


def test_the_next_process_knows_what_was_sent_and_what_was_taken_back(path: Path) -> None:
    with marks(path) as first:
        assert first.take(A) == []
        assert first.take(B) == []
        for number in (0, 7, SHARD_REQUESTS - 1):
            first.mark(A, number, sent=True)
        first.mark(A, 7, sent=False)
        first.mark(B, 3, sent=True)
    with marks(path, A, B) as second:
        assert second.take(A) == [0, SHARD_REQUESTS - 1]
        assert second.take(B) == [3]


def test_marks_of_shards_that_are_done_are_forgotten_and_their_room_is_used_again(path: Path) -> None:
    with marks(path) as first:
        for place in (A, B):
            first.take(place)
            first.mark(place, 1, sent=True)
        first.drop(A)
        size = path.stat().st_size
        assert first.take(C) == []
        assert path.stat().st_size == size
    with marks(path, C) as second:
        assert second.take(B) == []
        assert path.stat().st_size == size


def test_a_shard_that_has_no_room_has_no_marks(path: Path) -> None:
    with marks(path) as only:
        only.mark(A, 1, sent=True)
        assert only.take(A) == []
        only.mark(A, 100_000, sent=True)
        assert only.take(A) == []


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(path: Path) -> None:
    with marks(path) as first:
        for place in (A, B):
            first.take(place)
            first.mark(place, 1, sent=True)
    path.write_bytes(path.read_bytes()[:-5])
    with marks(path, A, B) as second:
        assert second.take(A) == [1]
        assert second.take(B) == []
        second.mark(B, 2, sent=True)
    with marks(path, A, B) as third:
        assert third.take(B) == [2]


async def test_marks_that_are_being_written_are_known_to_the_next_claim_of_the_same_process() -> None:
    # A claim read what was stored while a write was under way, and the requests in it were not counted as repeated.
    begun, go = asyncio.Event(), asyncio.Event()

    async def write(_: Mapping[str, Sequence[object]]) -> None:
        begun.set()
        await go.wait()

    behind = MarksWrittenBehind(write)
    assert behind.take(A, 1, 8, b"") == []
    behind.mark(A, 1, 3, sent=True)
    writing = asyncio.create_task(behind.flush())
    await begun.wait()
    behind.let_go(A, 1)
    assert behind.take(A, 2, 8, b"") == [3]
    go.set()
    await writing


def test_marks_of_another_process_count_if_it_had_the_shard_since() -> None:
    async def write(_: Mapping[str, Sequence[object]]) -> None:
        raise AssertionError

    behind = MarksWrittenBehind(write)
    behind.take(A, 1, 8, b"")
    behind.mark(A, 1, 3, sent=True)
    assert behind.take(A, 3, 8, b"\x01") == [0]
