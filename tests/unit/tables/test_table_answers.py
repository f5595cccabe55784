"""Result lines of every API become answers, and answers become columns."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchgate.tables.answer_columns import AnswerColumns
from batchgate.tables.answer_schema import read_schema
from batchgate.tables.answer_table import AnswerTable
from batchgate.tables.errors import RowError, TableError
from batchgate.tables.joining import join_answers
from batchgate.tables.opening import TableFormat, open_table
from batchgate.tables.result_answers import Answer, read_answer
from batchgate.tables.table import Row

TEXTS = [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "f"}, {"type": "text", "text": "b"}]


def openai(body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    return {"custom_id": "1", "response": {"status_code": status, "body": body}, "error": None}


def messages(**result: object) -> dict[str, Any]:
    return {"custom_id": "1", "result": result}


CHAT = {"message": {"content": "ab"}, "finish_reason": "length"}
RESPONSES = [{"type": "reasoning", "summary": []}, {"type": "message", "content": TEXTS}]
SUCCESSES = {
    "chat": openai({"choices": [CHAT], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
    "responses": openai({"output": RESPONSES, "usage": {"input_tokens": 3, "output_tokens": 4}}),
    "completions": openai({"choices": [{"text": "ab"}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
    "gemini": openai(
        {
            "candidates": [{"content": {"parts": TEXTS}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4},
        }
    ),
    "converse": openai({"output": {"message": {"content": TEXTS}}, "usage": {"inputTokens": 3, "outputTokens": 4}}),
    "messages": messages(
        type="succeeded", message={"content": TEXTS, "usage": {"input_tokens": 3, "output_tokens": 4}}
    ),
}
FAILURES = {
    "rate_limit_error: slow": messages(
        type="errored", error={"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}
    ),
    "expired": messages(type="expired"),
    "batch_expired: late": {"custom_id": "1", "response": None, "error": {"code": "batch_expired", "message": "late"}},
    "invalid: bad": openai({"error": {"type": "invalid", "message": "bad"}}, 400),
    "HTTP status 500": openai({}, 500),
}


@pytest.mark.parametrize("api", SUCCESSES)
def test_the_text_and_the_tokens_are_read_from_each_api(api: str) -> None:
    answer = read_answer(json.dumps(SUCCESSES[api] | {"cost_usd": 0.5}).encode())
    assert (answer.custom_id, answer.text, answer.error) == ("1", "ab", None)
    assert (answer.input_tokens, answer.output_tokens, answer.cost_usd) == (3, 4, 0.5)


@pytest.mark.parametrize("expected", FAILURES)
def test_a_failure_says_why(expected: str) -> None:
    answer = read_answer(json.dumps(FAILURES[expected]).encode())
    assert (answer.text, answer.error) == (None, expected)


def test_odd_answers_are_kept_and_odd_lines_are_errors() -> None:
    embedding = read_answer(json.dumps(openai({"data": [{"embedding": [1]}]})).encode())
    assert json.loads(embedding.text or "") == {"data": [{"embedding": [1]}]}
    refused = read_answer(json.dumps(openai({"choices": [{"message": {"content": None, "refusal": "no"}}]})).encode())
    assert (refused.text, refused.error) == ("", "the model refused: no")
    for line in (b"", b"[]", b'{"custom_id": 1}', b"\xff"):
        with pytest.raises(TableError, match="cannot be read"):
            read_answer(line)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 1.5}, "much"], ids=str)
def test_odd_tokens_do_not_hide_the_answer(usage: object) -> None:
    answer = read_answer(json.dumps(openai({"choices": [CHAT], "usage": usage})).encode())
    assert (answer.text, answer.finish_reason, answer.input_tokens) == ("ab", "length", None)


def test_what_the_model_thinks_is_not_its_answer() -> None:
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
    responses = openai({"output": [thought, {"type": "message", "content": TEXTS}]})
    gemini = openai({"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": "ab"}]}}]})
    assert [read_answer(json.dumps(each).encode()).text for each in (responses, gemini)] == ["ab", "ab"]


async def stream(answers: Iterable[Answer]) -> AsyncIterator[Answer]:
    for answer in answers:
        yield answer


def rows(*numbers: int) -> Iterator[Row | RowError]:
    return (Row(number, f"line {number}", {"n": f"id{number}"}) for number in numbers)


async def test_answers_are_joined_to_their_rows_and_rows_may_have_none() -> None:
    given = [Answer(custom_id="id1"), Answer(custom_id="id3")]
    joined = [(row.number, answer) async for row, answer in join_answers(rows(1, 2, 3, 4), "n", stream(given))]
    assert joined == [(1, given[0]), (2, None), (3, given[1]), (4, None)]
    with pytest.raises(TableError, match="'id3' is not there, or elsewhere"):
        [pair async for pair in join_answers(rows(2, 1), "n", stream([Answer(custom_id="id2"), given[0], given[1]]))]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_is_written_again_with_the_answers(tmp_path: Path, form: TableFormat) -> None:
    source = tmp_path / f"t.{form}"
    data = {"text": ["x, y", 'q"\n'], "n": ["1", "2"]}
    text = "one\rtwo"
    if form == "parquet":
        pq.write_table(pa.table({"text": data["text"], "n": pa.array([1, 2], pa.int16())}), source)
    elif form == "jsonl":
        source.write_text('{"text": "x, y", "n": 1}\n{"text": "q\\"\\n", "n": 2, "more": [1]}\n')
    else:
        separator = "," if form == "csv" else "\t"
        source.write_text(separator.join(data) + f'\n"x, y"{separator}1\n"q""\n"{separator}2\n')
    table = open_table(source)
    target = AnswerTable(table, AnswerColumns(prefix="new "), form)
    buffer = io.BytesIO()
    with target.writer(buffer) as write:
        for row in table.rows():
            assert isinstance(row, Row)
            target.check(row)
            done = Answer(custom_id=str(row.number), text=text, input_tokens=5, output_tokens=6, cost_usd=0.000012)
            write(row.cells, done if row.number == 1 else None)
    path = tmp_path / f"out.{form}"
    path.write_bytes(buffer.getvalue())
    again = [row.cells for row in open_table(path).rows() if isinstance(row, Row)]
    assert [cells["text"] for cells in again] == data["text"]
    assert [str(cells["n"]) for cells in again] == data["n"]
    assert [str(cells["new answer"] or "") for cells in again] == [text, ""]
    assert form not in {"csv", "tsv"} or path.read_bytes().endswith(b"\t\n" if form == "tsv" else b",\n")
    assert str(again[0]["new output_tokens"]) == "6"
    assert again[0]["new cost_usd"] == ("0.000012" if form in {"csv", "tsv"} else 0.000012)
    if form == "parquet":
        assert str(pq.read_schema(path).field("n").type) == "int16"
    if form == "jsonl":
        assert again[1]["more"] == [1]


def test_columns_that_would_be_lost_or_overwritten_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "t.jsonl"
    source.write_text('{"a": 1}\n{"a": 2, "b": 3}\n{"a": 2, "answer": 3}\n')
    table = open_table(source)
    columns = AnswerColumns()
    plain, wide, taken = (row for row in table.rows() if isinstance(row, Row))
    AnswerTable(table, columns, "csv").check(plain)
    AnswerTable(table, columns, "jsonl").check(wide)
    with pytest.raises(RowError, match="line 2: it has the field 'b', and the first row has not"):
        AnswerTable(table, columns, "csv").check(wide)
    with pytest.raises(RowError, match="line 3: it has a field 'answer' already"):
        AnswerTable(table, columns, "jsonl").check(taken)
    with pytest.raises(TableError, match="--prefix"):
        columns.check_against(["text", "error"])


def test_the_fields_of_a_json_answer_are_columns_and_other_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"type": "object", "properties": {"city": {}, "size": {}}}')
    columns = AnswerColumns(read_schema(path))
    assert columns.names[:3] == ["city", "size", "answer"]
    good = columns.values(Answer(custom_id="1", text='{"city": "Rome", "size": 3, "x": 1}'))
    assert (good["city"], good["size"], good["error"]) == ("Rome", 3, None)
    bad = columns.values(Answer(custom_id="1", text="Rome"))
    assert (bad["city"], bad["answer"]) == (None, "Rome")
    assert str(bad["error"]).startswith("the answer is not a JSON object: ")
    path.write_text('{"type": "object", "properties": {"answer": {}}}')
    both = AnswerColumns(read_schema(path), "x_").values(Answer(custom_id="1", text='{"answer": 1}'))
    assert (both["x_answer"], both["x_model_answer"]) == (1, '{"answer": 1}')
