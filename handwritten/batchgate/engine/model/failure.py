"""Why requests of a batch did not succeed: failures in groups, by kind and by the pattern of their message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind
from batchgate.engine.model.message_pattern import pattern_of

FailureKind: TypeAlias = ErrorKind | Literal["expired", "canceled"]
"""The class of a request's error, or how the request ended without one."""

MAX_GROUPS: Final = 50
"""Groups of a batch that have a pattern; the requests of any others are counted in one group for each kind."""
FIRST_REQUESTS: Final = 5
"""Requests that a group names."""
MAX_EXAMPLE: Final = 1000
"""Maximum number of characters of an example."""
MAX_SHOWN_ID: Final = 256
"""Maximum number of characters of a custom_id in a group."""

UNFINISHED_MESSAGES: Final = {
    "expired": "The batch expired before this request was answered.",
    "canceled": "The batch was canceled before this request was answered.",
}
"""The messages of requests that ended without a result."""


class FailedRequest(Struct, frozen=True, array_like=True, order=True):
    """A request that did not succeed."""

    seq: int
    custom_id: str
    """The caller's id; one that is longer than `MAX_SHOWN_ID` is cut."""


class Failure(Struct, frozen=True, kw_only=True):
    """Why one request did not succeed."""

    kind: FailureKind
    message: str
    custom_id: str
    permanent: bool = False
    """Whether another call would end with the same error."""


class FailureGroup(Struct, frozen=True, kw_only=True):
    """Requests of a batch that failed for the same reason."""

    kind: FailureKind
    pattern: str | None
    """The pattern of their messages; None for all requests of this kind that are in no other group."""
    count: int
    first: tuple[FailedRequest, ...]
    """The first of these requests in the order of the batch."""
    example: str
    """The message of the first request, without the characters beyond `MAX_EXAMPLE`."""


def failure_groups(failures: Iterable[tuple[int, Failure]]) -> tuple[FailureGroup, ...]:
    """Group the failures of requests, which are given by seq."""
    return merge_failures((), [_group_of_one(seq, failure) for seq, failure in failures])


def merge_failures(stored: Sequence[FailureGroup], added: Iterable[FailureGroup]) -> tuple[FailureGroup, ...]:
    """Add groups to those of a batch; a new pattern beyond `MAX_GROUPS` is counted in the group of its kind."""
    groups = {(group.kind, group.pattern): group for group in stored}
    patterns = sum(group.pattern is not None for group in stored)
    for group in added:
        key = (group.kind, group.pattern)
        if key not in groups and group.pattern is not None:
            patterns += 1
            if patterns > MAX_GROUPS:
                key, patterns = (group.kind, None), MAX_GROUPS
        present = groups.get(key)
        groups[key] = msgspec.structs.replace(group, pattern=key[1]) if present is None else _sum(present, group)
    return tuple(groups.values())


def end_failures(stored: Sequence[FailureGroup], unfinished: FailureGroup | None) -> tuple[FailureGroup, ...]:
    """Return the groups of a batch that ends, with those of its requests that have no result.

    In a canceled batch, requests that a worker has stored as expired count as canceled.
    """
    if unfinished is None:
        return tuple(stored)
    kept = [group for group in stored if unfinished.kind != "canceled" or group.kind != "expired"]
    return merge_failures(kept, [unfinished])


def unfinished_group(
    status: Literal["canceled", "expired"], count: int, requests: Iterable[FailedRequest]
) -> FailureGroup | None:
    """Return the group of the requests without a result, given in order; None if there are none."""
    if not count:
        return None
    message = UNFINISHED_MESSAGES[status]
    first = tuple(requests)[:FIRST_REQUESTS]
    return FailureGroup(kind=status, pattern=message, count=count, first=first, example=message)


def failed_request(seq: int, custom_id: str) -> FailedRequest:
    """Return a request as groups name it."""
    shown = custom_id if len(custom_id) <= MAX_SHOWN_ID else f"{custom_id[: MAX_SHOWN_ID - 1]}…"
    return FailedRequest(seq, shown)


def _group_of_one(seq: int, failure: Failure) -> FailureGroup:
    return FailureGroup(
        kind=failure.kind,
        pattern=pattern_of(failure.message),
        count=1,
        first=(failed_request(seq, failure.custom_id),),
        example=failure.message[:MAX_EXAMPLE],
    )


def _sum(one: FailureGroup, other: FailureGroup) -> FailureGroup:
    """Return the requests of two groups as one, with the example of the earlier request."""
    first = tuple(sorted({*one.first, *other.first})[:FIRST_REQUESTS])
    example = other.example if other.first and other.first[0] == first[0] else one.example
    return msgspec.structs.replace(one, count=one.count + other.count, first=first, example=example)
