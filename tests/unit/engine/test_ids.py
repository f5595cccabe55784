"""Ids have the documented format, and every character is as likely as any other."""

import re
from collections import Counter

from batchgate.engine.model.ids import ALPHABET, LENGTH, new_file_id, new_id

IDS = 4_000


def test_ids_have_a_prefix_and_22_characters_of_base_58() -> None:
    characters = f"[{ALPHABET.decode()}]{{{LENGTH}}}"
    assert re.fullmatch(f"msgbatch_01{characters}", new_id("msgbatch"))
    assert re.fullmatch(f"req_01{characters}", new_id("req"))
    assert re.fullmatch(f"file-{characters}", new_file_id())


def test_no_id_is_made_twice() -> None:
    assert len({new_id("req") for _ in range(IDS)}) == IDS


def test_all_characters_are_equally_likely() -> None:
    counts = Counter("".join(new_file_id().removeprefix("file-") for _ in range(IDS)))
    expected = IDS * LENGTH / len(ALPHABET)
    assert set(counts) == set(ALPHABET.decode())
    # Eight standard deviations: one run in 10**13 fails. A plain remainder of a byte would be off by 20 %.
    assert all(abs(count - expected) < 8 * expected**0.5 for count in counts.values())
