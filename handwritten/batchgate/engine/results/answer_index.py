"""An index of stored answers by the hashes of their requests, in about 60 bytes for each."""

from __future__ import annotations

from array import array
from typing import Final

from msgspec import Struct

HASH_BYTES: Final = 32


class AnswerPlace(Struct, frozen=True):
    """Where the result line with an answer is in a result file."""

    offset: int
    size: int


class AnswerIndex:
    """Finds answers by hash: a hash table with open addressing, in arrays, since objects would take four times as much.

    The answers of equal requests form a ring. Each is taken once: the next one of a ring was taken only if all were.
    """

    def __init__(self, most: int) -> None:
        """Make an empty index for at most so many answers."""
        self._slots = array("I", bytes(4 << (2 * most).bit_length()))
        """The number of the answer that was taken or added last, plus 1, of a hash; 0 for none."""
        self._hashes = bytearray()
        self._offsets, self._sizes, self._following = array("Q"), array("I"), array("I")
        self._taken = bytearray()

    def __len__(self) -> int:
        """Count the answers."""
        return len(self._offsets)

    def add(self, request_hash: bytes, place: AnswerPlace) -> None:
        """Add an answer behind the others of equal requests."""
        slot, added = self._slot_of(request_hash), len(self)
        last = self._slots[slot] - 1
        self._hashes += request_hash
        self._offsets.append(place.offset)
        self._sizes.append(place.size)
        self._taken.append(False)
        self._following.append(added if last < 0 else self._following[last])
        if last >= 0:
            self._following[last] = added
        self._slots[slot] = added + 1

    def take(self, request_hash: bytes) -> AnswerPlace | None:
        """Return the next answer of equal requests; None if there is none, or each was taken."""
        slot = self._slot_of(request_hash)
        last = self._slots[slot] - 1
        if last < 0:
            return None
        taken = self._following[last]
        if self._taken[taken]:
            return None
        self._taken[taken] = True
        self._slots[slot] = taken + 1
        return AnswerPlace(self._offsets[taken], self._sizes[taken])

    def _slot_of(self, request_hash: bytes) -> int:
        """Return the slot of a hash, or the empty one where it belongs."""
        slots, mask = self._slots, len(self._slots) - 1
        slot = int.from_bytes(request_hash[:8]) & mask
        while slots[slot] and self._hash(slots[slot] - 1) != request_hash:
            slot = (slot + 1) & mask
        return slot

    def _hash(self, number: int) -> bytearray:
        return self._hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES]
