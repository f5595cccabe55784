"""An index finds the answers of equal requests by their hashes, in little memory."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256

from batchgate.engine.results.answer_index import AnswerIndex, AnswerPlace


def hash_of(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def test_many_answers_are_found_in_less_than_a_hundred_bytes_each() -> None:
    count = 20_000
    tracemalloc.start()
    index = AnswerIndex(count)
    for number in range(count):
        index.add(hash_of(number), AnswerPlace(number << 20, number))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 100 * count
    assert all(index.take(hash_of(number)) == AnswerPlace(number << 20, number) for number in range(0, count, 97))
    assert index.take(hash_of(count)) is None


def test_answers_of_equal_requests_are_taken_in_their_order_and_each_once() -> None:
    index = AnswerIndex(4)
    for number in range(4):
        index.add(hash_of(number % 2), AnswerPlace(number, 1))
    found = [index.take(hash_of(0)) for _ in range(3)]
    assert found == [AnswerPlace(0, 1), AnswerPlace(2, 1), None]
    assert [index.take(hash_of(1)) for _ in range(3)] == [AnswerPlace(1, 1), AnswerPlace(3, 1), None]


def test_an_empty_index_has_no_answer() -> None:
    assert AnswerIndex(0).take(hash_of(1)) is None
