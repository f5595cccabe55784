"""Creates the batches of a run. Each has a key made of its content, so that it is created once, however often."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

import msgspec

from batchgate.cli.creation_options import Creation
from batchgate.cli.failures import CallFailed, CommandFailed, SubmissionRefused
from batchgate.cli.gateway_client import UNIFIED_BATCHES, GatewayClient
from batchgate.cli.run_plan import DIGEST_SIZE, PartRows, RunPart, RunSource, changed_input
from batchgate.cli.waiting import LONGEST_PAUSE, MAX_OUTAGE
from batchgate.tables.errors import TableError

ENDPOINT: Final = "/v1/chat/completions"
PIECE: Final = 256 * 1024
SMALLEST_BUDGET: Final = 0.000001
"""US dollars."""


async def create_batches(
    client: GatewayClient, source: RunSource, parts: Sequence[RunPart], creation: Creation, model: str
) -> AsyncGenerator[str, None]:
    """Create the batch of each part, or find it where it exists; yields their ids."""
    rows = PartRows(source.table)
    for part in parts:
        yield await _create(client, source, rows, part, part_fields(creation, model, parts, part))


def part_fields(creation: Creation, model: str, parts: Sequence[RunPart], part: RunPart) -> Mapping[str, object]:
    """Return the fields of a create beside its requests; each part has its share of the budget."""
    fields = {"endpoint": ENDPOINT, "model": model, **creation.fields()}
    if creation.budget is not None:
        share = creation.budget * part.rows / sum(each.rows for each in parts)
        fields["budget_usd"] = max(round(share, 6), SMALLEST_BUDGET)
    if part.number:
        fields.pop("reuse", None)  # what was tried first are rows of the first part
    return fields


async def _create(
    client: GatewayClient, source: RunSource, rows: PartRows, part: RunPart, fields: Mapping[str, object]
) -> str:
    """Create a batch; repeat that while the gateway is unreachable, which is safe because of the key."""
    headers = {"idempotency-key": batch_key(fields, part)}
    deadline = asyncio.get_running_loop().time() + MAX_OUTAGE
    while True:
        try:
            return await client.create(part_body(source, rows, part, fields), headers, path=UNIFIED_BATCHES)
        except CallFailed as error:
            if not error.retry_safe or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(LONGEST_PAUSE)


def batch_key(fields: Mapping[str, object], part: RunPart) -> str:
    """Return the idempotency key of a part: the same requests and the same options have the same one."""
    content = msgspec.json.encode((sorted(fields.items()), part.number)) + part.requests_digest
    return f"run-{hashlib.blake2b(content, digest_size=DIGEST_SIZE).hexdigest()}"


async def part_body(
    source: RunSource, rows: PartRows, part: RunPart, fields: Mapping[str, object]
) -> AsyncGenerator[bytes, None]:
    """Write the body of a create; raises `SubmissionRefused` before its end if the table or an image has changed."""
    buffer = bytearray(msgspec.json.encode(fields)[:-1] + b',"requests":[')
    separator = b""
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    try:
        for row in rows.of(part):
            line = source.requests.line(row)
            digest.update(line)
            buffer += separator + line
            separator = b",\n"
            if len(buffer) >= PIECE:
                yield bytes(buffer)
                buffer.clear()
        if digest.digest() != part.requests_digest:
            raise changed_input()
    except (CommandFailed, TableError) as error:
        raise SubmissionRefused(str(error)) from error
    yield bytes(buffer) + b"]}"
