"""Avro files are read block by block, and what is none or is damaged is said, never read as something else."""

from __future__ import annotations

import io
import zlib
from typing import Any, Final

import pytest
from fastavro import writer
from hypothesis import given
from hypothesis import strategies as st

from batchgate.providers.batches import avro_records
from batchgate.providers.batches.avro_records import BrokenAvro

SCHEMA: Final = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "custom_id", "type": "string"},
        {"name": "vector", "type": ["null", {"type": "array", "items": "double"}]},
    ],
}
ROWS: Final = [{"custom_id": f"r{n}", "vector": [n / 2, -1.5] if n % 3 else None} for n in range(200)]


def avro(rows: list[dict[str, Any]] = ROWS, codec: str = "null", block: int = 500) -> bytes:
    """Write rows in blocks of about so many bytes."""
    file = io.BytesIO()
    writer(file, SCHEMA, rows, codec=codec, sync_interval=block)
    return file.getvalue()


def read(content: bytes) -> list[object]:
    return [*avro_records.avro_records(io.BytesIO(content))]


@pytest.mark.parametrize("codec", ["null", "deflate"])
@pytest.mark.parametrize("block", [1, 500, 1_000_000])
def test_the_records_of_all_blocks_are_read_in_order(codec: str, block: int) -> None:
    assert read(avro(codec=codec, block=block)) == ROWS


def test_a_file_without_records_has_none() -> None:
    assert read(avro([])) == []


@pytest.mark.parametrize("content", [b"<html>gone</html>", b'{"custom_id":"r0"}\n', b"Obj\x02"])
def test_what_is_no_avro_file_is_said(content: bytes) -> None:
    with pytest.raises(BrokenAvro, match="it is no Avro file") as caught:
        read(content)
    assert not caught.value.is_cut_off


@pytest.mark.parametrize("size", [0, 3, 4, 30, -1, -17, -100])
def test_a_file_whose_end_is_missing_is_cut_off(size: int) -> None:
    with pytest.raises(BrokenAvro) as caught:
        read(avro()[:size])
    assert caught.value.is_cut_off


def test_a_codec_that_is_not_read_is_named() -> None:
    with pytest.raises(BrokenAvro, match="its codec is 'bzip2', but only null and deflate can be read"):
        read(avro(codec="bzip2"))


def test_a_block_may_not_be_larger_than_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro_records, "MAX_BLOCK_BYTES", 400)
    with pytest.raises(BrokenAvro, match=r"a block of \d+ bytes; the limit is 400"):
        read(avro())


def test_a_small_block_that_inflates_to_a_large_one_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    content = avro([{"custom_id": "x" * 100_000, "vector": None}], codec="deflate")
    assert len(content) < 1000
    monkeypatch.setattr(avro_records, "MAX_BLOCK_BYTES", 50_000)
    with pytest.raises(BrokenAvro, match="a block of more than 50000 bytes"):
        read(content)
    assert len(zlib.compress(b"x" * 100_000)) < 1000


@given(codec=st.sampled_from(["null", "deflate"]), data=st.data())
def test_damage_is_found_or_changes_single_values_but_raises_nothing_else(codec: str, data: st.DataObject) -> None:
    content = bytearray(avro(ROWS[:20], codec=codec))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(content))
    except BrokenAvro:
        return
    assert len(found) <= len(ROWS)
