"""Packed sets of seqs, and the ids by which requests travel."""

from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.native_job import bounds_of, pack_set, row_id, seq_of, unpack_between, unpack_set

SEQS = st.sets(st.integers(0, 100_000))


@given(SEQS)
def test_a_packed_set_is_unpacked_in_order(seqs: set[int]) -> None:
    assert unpack_set(pack_set(seqs)) == sorted(seqs)


@given(SEQS)
def test_a_packed_set_does_not_depend_on_the_order_of_its_seqs(seqs: set[int]) -> None:
    assert pack_set(sorted(seqs, reverse=True)) == pack_set(sorted(seqs))


@given(st.sets(st.integers(0, 300)), st.integers(0, 310), st.integers(0, 310))
def test_a_part_of_a_packed_set_has_the_seqs_of_its_range(seqs: set[int], start: int, stop: int) -> None:
    assert unpack_between(pack_set(seqs), start, stop) == [seq for seq in sorted(seqs) if start <= seq < stop]


@given(st.sets(st.integers(0, 100_000), min_size=1))
def test_the_bounds_of_a_packed_set_are_its_first_and_last_seq(seqs: set[int]) -> None:
    assert bounds_of(pack_set(seqs)) == (min(seqs), max(seqs))


def test_50_000_contiguous_seqs_are_a_few_dozen_bytes() -> None:
    assert len(pack_set(range(1_000_000, 1_050_000))) < 40


@given(st.integers(0, 10**15))
def test_a_row_id_is_read_back_as_its_seq(seq: int) -> None:
    assert seq_of("tok", row_id("tok", seq)) == seq


@given(st.one_of(st.text(), st.text().map("r{}".format), st.from_regex(r"r?[0-9]+(-tok)?", fullmatch=True)))
def test_a_text_is_a_row_id_only_if_that_seq_has_this_id(text: str) -> None:
    seq = seq_of("tok", text)
    assert seq is None or row_id("tok", seq) == text


def test_texts_that_only_look_like_row_ids_are_none_of_ours() -> None:
    for text in ("", "r", "7", "r07", "r-1", "r+1", "r1_0", "r 1", "R1", "rr1", "r٣", "r²", "r" + "9" * 5000):
        assert seq_of("tok", f"{text}-tok") is None
    for text in ("r7", "r7-", "r7-other", "r7-tok-tok", "-tok", "7-tok"):
        assert seq_of("tok", text) is None
