"""A batch of the rows of a table: the body that creates it, and the rows with their answers; no network.

The rows are kept in a temporary file, of which 64 MB are in memory, until their answers come.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator, Mapping
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from batchgate_client.api.batches.create_batch import _get_kwargs as create_call
from batchgate_client.models import CreateBatch
from batchgate_client.types import UNSET
from batchgate_streams.answer_columns import AnswerColumns
from batchgate_streams.batch_options import BatchOptions
from batchgate_streams.calls import Call
from batchgate_streams.errors import UnusableAnswer, UnusableRow
from batchgate_streams.prompts import PromptTemplate
from batchgate_streams.rows import Row

TableRow: TypeAlias = Mapping[str, Any]
"""A row of a table: values by the names of their columns."""
IN_MEMORY: Final = 64 * 1024 * 1024  # bytes
PIECE: Final = 256 * 1024
"""Bytes of a body that are sent at a time."""
CREATE_TIMEOUT: Final = 120.0
"""Seconds that the gateway may take for a piece of the body or for its answer."""
_ENDPOINT: Final = "/v1/chat/completions"


class RowRun:
    """One run; a context manager that owns the temporary file."""

    def __init__(
        self,
        rows: Iterable[TableRow],
        *,
        prompt: str,
        model: str,
        system: str | None,
        schema: Mapping[str, Any] | None,
        fields: Mapping[str, Any] | None,
        prefix: str,
    ) -> None:
        self._rows = rows
        self._prompt = PromptTemplate(prompt)
        self._system = None if system is None else PromptTemplate(system)
        self._columns = AnswerColumns(schema, prefix)
        self._fields = {"model": model, **(fields or {}), **self._columns.response_format}
        self._kept = SpooledTemporaryFile[bytes](max_size=IN_MEMORY)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the temporary file."""
        self._kept.close()

    def call(self, options: BatchOptions, idempotency_key: str | None) -> Call:
        """Return the call that creates the batch, without its content."""
        key = UNSET if idempotency_key is None else idempotency_key
        body = CreateBatch(requests=[], endpoint=_ENDPOINT)
        call = create_call(body=body, idempotency_key=key, **options.header_arguments())
        del call["json"]
        return call | {"timeout": CREATE_TIMEOUT}

    def content(self) -> Iterator[bytes]:
        """Yield the body in pieces while the rows are read; raises `UnusableRow`."""
        piece = b'{"endpoint": "%b", "requests": [' % _ENDPOINT.encode()
        for number, row in enumerate(self._rows):
            piece += (b",\n" if number else b"\n") + self._request(number, row)
            pickle.dump(dict(row), self._kept)
            if len(piece) >= PIECE:
                yield piece
                piece = b""
        yield piece + b"\n]}"
        self._kept.seek(0)

    def answered(self, result: Row) -> dict[str, Any]:
        """Return the next row with the columns of its answer."""
        try:
            row: dict[str, Any] = pickle.load(self._kept)  # noqa: S301 our own file
        except EOFError:
            raise UnusableAnswer("the batch has more results than rows; was its idempotency key used before?") from None
        return row | self._columns.read(result)

    def finish(self) -> None:
        """Check that each row has got its answer."""
        if self._kept.read(1):
            raise UnusableAnswer("the batch has fewer results than rows")

    def _request(self, number: int, row: TableRow) -> bytes:
        try:
            self._columns.check(row)
            system = [] if self._system is None else [{"role": "system", "content": self._system.fill(row)}]
            messages = [*system, {"role": "user", "content": self._prompt.fill(row)}]
        except UnusableRow as error:
            raise UnusableRow(f"row {number}: {error}") from error
        body = {**self._fields, "messages": messages}
        request = {"custom_id": str(number), "method": "POST", "url": _ENDPOINT, "body": body}
        return json.dumps(request).encode()
