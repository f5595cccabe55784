"""Submits a file of requests: on the API that its requests are for, as a whole or the first ones alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct, structs

from batchgate.cli.connection import Connection
from batchgate.cli.creation_options import Creation
from batchgate.cli.failures import CommandFailed, ConnectionBroken, GatewayRefused, SubmissionRefused
from batchgate.cli.file_dialect import FileDialect, dialect_of
from batchgate.cli.gateway_client import BATCHES, OPENAI_BATCHES, GatewayClient
from batchgate.cli.refusal_text import in_lines
from batchgate.cli.submission import (
    Content,
    SentLines,
    create_body,
    first_lines,
    is_document,
    open_content,
    read_pieces,
    whole_content,
)
from batchgate.cli.trial import show_trial
from batchgate_api.anthropic import MessageBatch

PATHS: Final[Mapping[FileDialect, str]] = {"messages": BATCHES, "openai": OPENAI_BATCHES}


class FileSubmission:
    """One file, and how its batch is to run."""

    def __init__(self, connection: Connection, file: BinaryIO, creation: Creation, key: str | None) -> None:
        self.file = file
        self._connection = connection
        self._creation = creation
        self._key = key

    async def create(self) -> str:
        """Create the batch of all requests, and return its id."""
        content = await open_content(read_pieces(self.file.fileno()))
        async with self._connection.client() as client:
            return await self._create(client, content, self._creation, self._key)

    async def run_first(self, count: int) -> None:
        """Run the first requests as a batch of their own, and show them; the batch of all reuses their results."""
        content = await open_content(read_pieces(self.file.fileno()))
        if is_document(content.start):
            raise CommandFailed("--try needs JSONL, with one request a line.")
        dialect_of(content.start, self.file.name)
        lines = await first_lines(content, count)
        os.lseek(self.file.fileno(), 0, os.SEEK_SET)
        creation = structs.replace(self._creation, lane="direct", budget=None)
        key = None if self._key is None else f"{self._key}-try"
        async with self._connection.client() as client:
            batch_id = await self._create(client, await whole_content(b"\n".join(lines)), creation, key)
            await show_trial(client, batch_id, [*map(_prompt, lines)], None)
        self._creation = structs.replace(self._creation, reuse=batch_id)

    async def find(self, batch_id: str) -> MessageBatch:
        """Read a batch."""
        async with self._connection.client() as client:
            return await client.find(batch_id)

    async def _create(self, client: GatewayClient, content: Content, creation: Creation, key: str | None) -> str:
        dialect = dialect_of(content.start, self.file.name)
        headers = {**creation.headers(), "idempotency-key": key}
        fields: Mapping[str, object] = {}
        if dialect == "messages":
            headers["batchgate-metadata"] = creation.metadata
        elif creation.pairs is not None:
            fields = {"metadata": creation.pairs}
        lines = SentLines()
        try:
            return await client.create(create_body(content, lines, fields), headers, path=PATHS[dialect])
        except GatewayRefused as error:
            raise SubmissionRefused(in_lines(str(error), lines.numbers)) from error
        except ConnectionBroken as error:
            raise CommandFailed(f"{error} {self._what_now(key)}", cause=error) from error

    def _what_now(self, key: str | None) -> str:
        if key is not None:
            return "The same command again creates the batch, or finds it if it was created."
        check = self._connection.command("list", "--limit", "1")
        return f"The batch may have been created; check with: {check}"


class _Turn(Struct):
    content: msgspec.Raw = msgspec.Raw(b"")


class _Content(Struct):
    messages: Sequence[_Turn] = ()


class _Request(Struct):
    params: _Content | None = None
    body: _Content | None = None


def _prompt(line: bytes) -> str:
    """Return what a request asks, to be shown: the last message, or without messages all of it."""
    try:
        request = msgspec.json.decode(line, type=_Request)
    except msgspec.ValidationError:
        return line.decode()
    turns = (request.params or request.body or _Content()).messages
    text = bytes(turns[-1].content) if turns else line
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:
        return text.decode()
