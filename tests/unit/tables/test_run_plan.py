"""The plan of a run: parts within the limits of a batch, each with a key of its own, and rows that stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgate.cli import run_plan
from batchgate.cli.creation_options import Creation
from batchgate.cli.failures import CommandFailed, SubmissionRefused
from batchgate.cli.run_batches import batch_key, part_body, part_fields
from batchgate.cli.run_plan import PartRows, RunPart, RunSource, plan_run
from batchgate.tables.answer_columns import AnswerColumns
from batchgate.tables.answer_table import AnswerTable
from batchgate.tables.chat_requests import ChatRequests
from batchgate.tables.opening import open_table
from batchgate.tables.prompt_template import PromptTemplate


def source_of(path: Path) -> RunSource:
    table = open_table(path)
    requests = ChatRequests(
        prompt=PromptTemplate("{text}", table.columns), folder=path.parent, fields={}, id_column=None
    )
    return RunSource(table, requests, AnswerTable(table, AnswerColumns(), "csv"))


def keys(source: RunSource, creation: Creation) -> list[str]:
    parts = plan_run(source)
    return [batch_key(part_fields(creation, "a/m", parts, part), part) for part in parts]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a table of ten rows, of which a batch takes three."""
    monkeypatch.setattr(run_plan, "MAX_ROWS", 3)
    path = tmp_path / "t.csv"
    path.write_text("text,other\n" + "".join(f"row {number},x\n" for number in range(10)))
    return path


def test_parts_keep_to_the_limits_and_hold_every_row_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(path)
    parts = plan_run(source)
    assert [(part.number, part.first, part.rows) for part in parts] == [(0, 0, 3), (1, 3, 3), (2, 6, 3), (3, 9, 1)]
    rows = PartRows(source.table)
    for order in (parts, [parts[2], parts[0], parts[0], parts[1]]):
        for part in order:
            numbers = [row.number for row in rows.of(part)]
            assert numbers == list(range(part.first + 1, part.first + part.rows + 1))
    first_row = next(iter(PartRows(source.table).of(parts[0])))
    monkeypatch.setattr(run_plan, "MAX_BYTES", 2 * len(source.requests.line(first_row)) + 1)
    assert {part.rows for part in plan_run(source)} == {2}


def test_a_key_depends_on_requests_and_options_and_on_nothing_else(path: Path) -> None:
    first = keys(source_of(path), Creation(name="n"))
    assert len(set(first)) == 4
    assert keys(source_of(path), Creation(name="n")) == first
    assert not set(keys(source_of(path), Creation(name="m"))) & set(first)
    path.write_text(path.read_text().replace(",x", ",other") + "row 10,\nrow 11,\n")
    more = keys(source_of(path), Creation(name="n"))
    assert (more[:3], more[3] != first[3], len(more)) == (first[:3], True, 4)


def test_the_parts_share_the_budget_and_only_the_first_reuses_what_was_tried(path: Path) -> None:
    parts = plan_run(source_of(path))
    creation = Creation(budget=5.0, reuse="batch_1")
    fields = [part_fields(creation, "a/m", parts, part) for part in parts]
    assert [field["budget_usd"] for field in fields] == [1.5, 1.5, 1.5, 0.5]
    assert [field.get("reuse") for field in fields] == ["batch_1", None, None, None]


async def test_a_table_that_changes_meanwhile_is_neither_sent_nor_joined(path: Path) -> None:
    source = source_of(path)
    parts = plan_run(source)
    replace(path, "row 4,x", "row 4,y")
    with pytest.raises(CommandFailed, match="The input was changed"):
        list(PartRows(source.table).of(parts[1]))
    with pytest.raises(SubmissionRefused, match="The input was changed"):
        await sent(source, parts[1])
    assert (await sent(source, parts[0])).endswith(b"]}")


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


async def sent(source: RunSource, part: RunPart) -> bytes:
    return b"".join([piece async for piece in part_body(source, PartRows(source.table), part, {"model": "m"})])
