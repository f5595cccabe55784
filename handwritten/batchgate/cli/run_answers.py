"""Writes the answers of a run, joined to its rows, when its batches have ended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from batchgate.cli.answer_reader import answers
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.output_file import output_file
from batchgate.cli.run_plan import PartRows, RunPart, RunSource
from batchgate.tables.joining import join_answers


async def write_run(
    client: GatewayClient, source: RunSource, parts: Sequence[RunPart], batch_ids: Sequence[str], target: Path
) -> None:
    """Write the rows with the answers; those of retries are included."""
    rows = PartRows(source.table)
    with output_file(target) as file, source.answers.writer(file) as write:
        for part, batch_id in zip(parts, batch_ids, strict=True):
            async with aclosing(client.results(batch_id, merged=True)) as pieces:
                joined = join_answers(rows.of(part), source.requests.id_column, answers(pieces))
                async for row, answer in joined:
                    write(row.cells, answer)
