"""Decodes compressed request bodies as they arrive, with a limit on the size of the output."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Protocol

from batchgate.api.http_limits import MEMBER_BYTES
from batchgate.engine.model.errors import RefusedError

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

PIECE = 1024 * 1024
"""Maximum bytes of one piece of output."""

ZSTD_WINDOW_LOG = 23
"""The zstd window may have at most 2**23 bytes, 8 MB, as RFC 9659 allows for HTTP."""

SLICE = 32 * 1024
"""Bytes passed to a decompressor at a time: it copies what follows a member, and a body may have many small members."""

FREE_MEMBERS = 16
"""Members that a body may have regardless of its size, and members in a row that may contain nothing."""

SUPPORTED = "gzip, deflate, zstd"


class ContentDecoder(Protocol):
    """Decodes one body."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes, and yield pieces of at most `PIECE` bytes."""
        ...

    def finish(self) -> None:
        """Raise `RefusedError` if the body is incomplete."""
        ...


def content_decoder(encoding: str | None, member_bytes: int = MEMBER_BYTES) -> ContentDecoder:
    """Return the decoder for a Content-Encoding; raises `RefusedError` for an unsupported one.

    A body may have 16 gzip members or zstd frames, and one more for each ``member_bytes`` of it.
    """
    match (encoding or "identity").strip().lower():
        case "identity":
            return IdentityDecoder()
        case "gzip" | "x-gzip":
            return ZlibDecoder("gzip", zlib.MAX_WBITS | 16, member_bytes)
        case "deflate":
            return ZlibDecoder("deflate", zlib.MAX_WBITS, member_bytes)
        case "zstd":
            return ZstdDecoder(member_bytes)
    raise RefusedError(
        "invalid_request_error",
        f"Content-Encoding: {encoding!r} is not supported; send the body plain or as one of {SUPPORTED}",
        code="request_body_encoding_unsupported",
    )


class IdentityDecoder:
    """Passes an uncompressed body through."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the bytes unchanged."""
        yield data

    def finish(self) -> None:
        """Do nothing: an uncompressed body may end anywhere."""


class MemberCount:
    """Bounds the members (gzip) or frames (zstd) of a body by its bytes: each costs work, even if it is empty."""

    def __init__(self, name: str, member_bytes: int) -> None:
        self._name = name
        self._member_bytes = member_bytes
        self._bytes = 0
        self._members = 0
        self._empty_in_row = 0
        self._is_empty = True

    def received(self, size: int) -> None:
        """Count bytes of the body."""
        self._bytes += size

    def decoded(self, size: int) -> None:
        """Count bytes that the present member contains."""
        self._bytes += size
        self._is_empty = self._is_empty and not size

    def ended(self) -> None:
        """Count the end of a member; raises `RefusedError` if there are too many."""
        self._members += 1
        self._empty_in_row = self._empty_in_row + 1 if self._is_empty else 0
        self._is_empty = True
        if self._empty_in_row >= FREE_MEMBERS:
            raise _invalid(self._name, f"{FREE_MEMBERS} parts in a row contain nothing")
        if self._members > FREE_MEMBERS + self._bytes // self._member_bytes:
            raise _invalid(self._name, f"{self._members} separately compressed parts are too many for its size")


class ZlibDecoder:
    """Decodes deflate, and gzip of one or more members with any zero padding at the end (as gunzip accepts)."""

    def __init__(self, name: str, window_bits: int, member_bytes: int) -> None:
        self._name = name
        self._window_bits = window_bits
        self._members = MemberCount(name, member_bytes)
        self._inner = zlib.decompressobj(window_bits)
        self._started = False
        self._padded = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes."""
        for start in range(0, len(data), SLICE):
            yield from self._decode(data[start : start + SLICE])

    def finish(self) -> None:
        """Raise `RefusedError` if the body is incomplete."""
        if not self._inner.eof:
            raise _invalid(self._name, "it ends too early")

    def _decode(self, data: bytes) -> Iterator[bytes]:
        self._members.received(len(data))
        piece = b""
        # After a full piece the decompressor may hold more output, though it has consumed all data.
        while data or len(piece) == PIECE:
            if data and self._inner.eof:
                if self._is_padding(data):
                    return
                self._inner = zlib.decompressobj(self._window_bits)
            if data and not self._started:
                self._start(data)
            had_ended = self._inner.eof
            try:
                piece = self._inner.decompress(data, PIECE)
            except zlib.error as error:
                raise _invalid(self._name, error) from error
            if piece:
                self._members.decoded(len(piece))
                yield piece
            if self._inner.eof and not had_ended:
                self._members.ended()
            data = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail

    def _is_padding(self, data: bytes) -> bool:
        """Return whether zero padding follows the last member; raise `RefusedError` if it contains other bytes."""
        self._padded = self._padded or (self._name == "gzip" and data[0] == 0)
        if self._padded and data.lstrip(b"\0"):
            raise _invalid(self._name, "the zero padding at its end contains other bytes")
        return self._padded

    def _start(self, data: bytes) -> None:
        # Many clients send deflate without the zlib header that the standard requires: then the low four bits of
        # the first byte, the compression method, are not 8.
        self._started = True
        if self._name == "deflate" and data[0] & 0x0F != zlib.DEFLATED:
            self._window_bits = -zlib.MAX_WBITS
            self._inner = zlib.decompressobj(self._window_bits)


class ZstdDecoder:
    """Decodes zstd, of one or more frames."""

    def __init__(self, member_bytes: int) -> None:
        self._inner = _zstd()
        self._members = MemberCount("zstd", member_bytes)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes."""
        for start in range(0, len(data), SLICE):
            yield from self._decode(data[start : start + SLICE])

    def finish(self) -> None:
        """Raise `RefusedError` if the body is incomplete."""
        if not self._inner.eof:
            raise _invalid("zstd", "it ends too early")

    def _decode(self, data: bytes) -> Iterator[bytes]:
        self._members.received(len(data))
        while data or not (self._inner.eof or self._inner.needs_input):
            if self._inner.eof:
                self._inner = _zstd()
            try:
                piece = self._inner.decompress(data, max_length=PIECE)
            except ZstdError as error:
                raise _invalid("zstd", error) from error
            if piece:
                self._members.decoded(len(piece))
                yield piece
            if self._inner.eof:
                self._members.ended()
            data = self._inner.unused_data if self._inner.eof else b""


def _zstd() -> ZstdDecompressor:
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})


def _invalid(name: str, reason: object) -> RefusedError:
    message = f"Content-Encoding: the body cannot be decoded as {name}: {reason}"
    return RefusedError("invalid_request_error", message, code="request_body_encoding_invalid")
