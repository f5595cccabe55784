"""Reads the records of an Avro object container file, with one block of it in memory.

fastavro decodes the header, the schema and the records. It would also read and inflate blocks, but of any size: so the
blocks are read here, and no larger ones than a result may be.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import IO, Final

import msgspec
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import SchemaParseException

MAX_BLOCK_BYTES: Final = 64 * 1024 * 1024
"""The largest block, inflated or not; a result that is a line has the same limit."""
_MAX_HEADER_BYTES: Final = 1024 * 1024
_MAGIC: Final = b"Obj\x01"
_SYNC_BYTES: Final = 16
_HEADER: Final = {
    "type": "record",
    "name": "Header",
    "fields": [
        {"name": "magic", "type": {"type": "fixed", "name": "Magic", "size": len(_MAGIC)}},
        {"name": "meta", "type": {"type": "map", "values": "bytes"}},
        {"name": "sync", "type": {"type": "fixed", "name": "Sync", "size": _SYNC_BYTES}},
    ],
}
_RAW_DEFLATE: Final = -15
"""The window size by which zlib knows that its own header is missing."""


class _Header(msgspec.Struct, frozen=True):
    meta: dict[str, bytes]
    sync: bytes


class BrokenAvro(Exception):
    """A file is no Avro file, or was damaged; the message says where. ``is_cut_off`` tells that its end is missing."""

    def __init__(self, problem: str, *, is_cut_off: bool = False) -> None:
        super().__init__(problem)
        self.is_cut_off = is_cut_off


def avro_records(file: IO[bytes]) -> Iterator[object]:
    """Yield the records of a file from its beginning; raises `BrokenAvro`."""
    size = file.seek(0, io.SEEK_END)
    try:
        header = _header(file)
        schema = parse_schema(msgspec.json.decode(header.meta["avro.schema"]))
        codec = header.meta.get("avro.codec", b"null").decode()
        while file.tell() < size:
            count, block = _next_block(file, codec, header.sync)
            records = io.BytesIO(block)
            for _ in range(count):
                yield schemaless_reader(records, schema, None)
    except (*_DAMAGE, SchemaParseException) as error:
        raise BrokenAvro(f"it cannot be decoded ({type(error).__name__})") from error


_DAMAGE: Final = (
    ArithmeticError,
    EOFError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    msgspec.DecodeError,
    zlib.error,
)
"""What fastavro and zlib raise for bytes and schemas that are none of Avro's."""


def _header(file: IO[bytes]) -> _Header:
    """Read the header of a file, and leave the file at its end."""
    file.seek(0)
    head = io.BytesIO(file.read(_MAX_HEADER_BYTES))
    if not _MAGIC.startswith(head.getvalue()[: len(_MAGIC)]):
        raise BrokenAvro("it is no Avro file")
    try:
        header = msgspec.convert(schemaless_reader(head, _HEADER, None), _Header)
    except EOFError as error:
        raise BrokenAvro("it ends in its header", is_cut_off=True) from error
    file.seek(head.tell())
    return header


def _next_block(file: IO[bytes], codec: str, sync: bytes) -> tuple[int, bytes]:
    """Return the number of records of the next block, and its content."""
    try:
        count, length = (msgspec.convert(schemaless_reader(file, "long", None), int) for _ in range(2))
    except EOFError as error:
        raise BrokenAvro("it ends before a block", is_cut_off=True) from error
    if not 0 <= length <= MAX_BLOCK_BYTES:
        raise BrokenAvro(f"it has a block of {length} bytes; the limit is {MAX_BLOCK_BYTES}")
    content, end = file.read(length), file.read(_SYNC_BYTES)
    if len(end) < _SYNC_BYTES:
        raise BrokenAvro("it ends in a block", is_cut_off=True)
    if end != sync:
        raise BrokenAvro("a block of it does not end with its marker")
    return count, _inflated(content, codec)


def _inflated(content: bytes, codec: str) -> bytes:
    match codec:
        case "null":
            return content
        case "deflate":
            inflate = zlib.decompressobj(_RAW_DEFLATE)
            block = inflate.decompress(content, MAX_BLOCK_BYTES)
            if inflate.unconsumed_tail:
                raise BrokenAvro(f"it has a block of more than {MAX_BLOCK_BYTES} bytes")
            return block
        case _:
            raise BrokenAvro(f"its codec is {codec[:32]!r}, but only null and deflate can be read")
