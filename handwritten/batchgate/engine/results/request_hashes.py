"""Hashes of requests, by which equal ones are found: the custom_id, the order of keys and blanks do not matter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import ANTHROPIC_VERSION
from batchgate.engine.ports.rows import RowFormat

_PARAMS: Final = msgspec.json.Decoder(dict[str, object])


class RequestHashes:
    """Hashes what determines the answer of a request: its account, model and params, and the headers of its batch.

    ``resolve`` returns the account and the model there, of a default account and the model that a request names.
    """

    def __init__(self, rows: Mapping[Dialect, RowFormat], resolve: Callable[[str, str], tuple[str, str]]) -> None:
        self._rows = rows
        self._resolve = resolve

    def of(self, batch: Batch, line: bytes) -> bytes | None:
        """Return the SHA-256 of the request of an input line; None if it cannot be read, and so equals no other."""
        try:
            row = self._rows[batch.dialect].read(line, batch.options.model)
            target = self._resolve(batch.provider, row.model)
        except RequestError:
            return None
        headers = {"anthropic-version": ANTHROPIC_VERSION, **batch.headers}
        context = msgspec.json.encode((target, sorted(headers.items())))
        return hashlib.sha256(context + b"\n" + _canonical(row.params)).digest()


def _canonical(params: bytes) -> bytes:
    """Return params without their model in one spelling; those that cannot be spelled so stay as they are."""
    try:
        fields = _PARAMS.decode(params)
        fields.pop("model", None)
        return msgspec.json.encode(fields, order="sorted")
    except (*DECODING_ERRORS, OverflowError):  # such as a number that is too large
        return params
