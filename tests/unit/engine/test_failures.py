"""Failures are grouped by kind and pattern: the same groups in whatever order results come, and never too many."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.failure import (
    FIRST_REQUESTS,
    MAX_EXAMPLE,
    MAX_GROUPS,
    MAX_SHOWN_ID,
    FailedRequest,
    Failure,
    FailureGroup,
    FailureKind,
    end_failures,
    failure_groups,
    merge_failures,
    unfinished_group,
)

KINDS: list[FailureKind] = ["invalid_request_error", "timeout_error", "expired"]
FAILURES = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from("abcd"), st.integers(0, 99)), max_size=60)


def failure(kind: FailureKind, message: str, seq: int) -> tuple[int, Failure]:
    return seq, Failure(kind=kind, message=message, custom_id=f"r{seq}")


def by_reason(groups: tuple[FailureGroup, ...]) -> dict[tuple[str, str | None], FailureGroup]:
    return {(group.kind, group.pattern): group for group in groups}


def test_a_group_counts_its_requests_and_names_the_first_with_the_message_of_the_first() -> None:
    groups = failure_groups(
        failure("invalid_request_error", f"limit {seq} of 10", seq) for seq in (9, 3, 8, 7, 1, 6, 2)
    )
    assert groups == (
        FailureGroup(
            kind="invalid_request_error",
            pattern="limit <n> of <n>",
            count=7,
            first=tuple(FailedRequest(seq, f"r{seq}") for seq in (1, 2, 3, 6, 7)),
            example="limit 1 of 10",
        ),
    )


@given(FAILURES, st.randoms(use_true_random=False), st.integers(1, 9))
def test_chunks_in_any_order_and_size_give_the_same_groups(
    drawn: list[tuple[FailureKind, str, int]], random: st.DataObject, size: int
) -> None:
    given_failures = [failure(kind, f"{letter} {seq}", seq) for seq, (kind, letter, _) in enumerate(drawn)]
    at_once = failure_groups(given_failures)
    random.shuffle(given_failures)  # type: ignore[attr-defined]
    in_chunks: tuple[FailureGroup, ...] = ()
    for start in range(0, len(given_failures), size):
        in_chunks = merge_failures(in_chunks, failure_groups(given_failures[start : start + size]))
    assert by_reason(in_chunks) == by_reason(at_once)
    assert sum(group.count for group in at_once) == len(drawn)
    assert all(len(group.first) == min(group.count, FIRST_REQUESTS) for group in at_once)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 200)), max_size=400))
def test_the_groups_are_bounded_and_their_counts_by_kind_exact(drawn: list[tuple[FailureKind, int]]) -> None:
    groups: tuple[FailureGroup, ...] = ()
    for seq, (kind, number) in enumerate(drawn):
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        groups = merge_failures(groups, failure_groups([failure(kind, letters, seq)]))
    assert sum(group.pattern is not None for group in groups) <= MAX_GROUPS
    assert len(groups) <= MAX_GROUPS + len(KINDS)
    for kind in KINDS:
        counted = sum(group.count for group in groups if group.kind == kind)
        assert counted == sum(found == kind for found, _ in drawn)


def test_what_a_group_shows_is_bounded() -> None:
    (group,) = failure_groups([(0, Failure(kind="api_error", message="m" * 9999, custom_id="i" * 9999))])
    assert len(group.example) == MAX_EXAMPLE
    assert len(group.first[0].custom_id) == MAX_SHOWN_ID
    assert len(msgspec.json.encode(group)) < 2000


@pytest.mark.parametrize(("status", "left"), [("expired", 3), ("canceled", 1)])
def test_requests_that_a_canceled_batch_had_stored_as_expired_count_as_canceled(status: str, left: int) -> None:
    stored = failure_groups([failure("expired", "a", 0), failure("expired", "b", 1), failure("api_error", "c", 2)])
    unfinished = unfinished_group(status, 7, [FailedRequest(3, "r3")])  # type: ignore[arg-type]
    assert unfinished is not None
    ended = end_failures(stored, unfinished)
    assert len(ended) == left + 1
    assert ended[-1] == unfinished
    assert (
        unfinished.example
        == f"The batch {'expired' if status == 'expired' else 'was canceled'} before this request was answered."
    )


def test_a_batch_whose_requests_all_have_results_keeps_its_failures() -> None:
    stored = failure_groups([failure("api_error", "c", 2)])
    assert unfinished_group("expired", 0, []) is None
    assert end_failures(stored, None) == stored
