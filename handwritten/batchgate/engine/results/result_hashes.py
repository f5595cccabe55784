"""Hashes of a result file and of the files that show a part of it, computed while it is written."""

from __future__ import annotations

import hashlib


class ResultHashes:
    """The SHA-256 of a result file, of its successful lines (the output file), and of its other lines (the error file).

    Most batches have successful lines only. Until another line comes, the hash of the successful lines is the hash of
    the whole file, and no byte is hashed twice.
    """

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._output = self._whole
        self._error = hashlib.sha256()

    def update(self, lines: bytes, output: bytes, error: bytes) -> None:
        """Hash the lines of the next shard: all of them, the successful ones, and the other ones."""
        if error and self._output is self._whole:
            self._output = self._whole.copy()
        self._whole.update(lines)
        if self._output is not self._whole:
            self._output.update(output)
            self._error.update(error)

    @property
    def whole(self) -> bytes:
        """The hash of the result file."""
        return self._whole.digest()

    @property
    def output(self) -> bytes:
        """The hash of its successful lines."""
        return self._output.digest()

    @property
    def error(self) -> bytes:
        """The hash of its other lines."""
        return self._error.digest()
