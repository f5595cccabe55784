"""Tables are read from files of every format, with the place of each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchgate.tables.delimited import DelimitedTable
from batchgate.tables.errors import RowError, TableError
from batchgate.tables.opening import open_table
from batchgate.tables.table import Row


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cells(path: Path) -> list[dict[str, object]]:
    """Read the good rows of a table."""
    return [dict(row.cells) for row in open_table(path).rows() if isinstance(row, Row)]


def test_csv_of_any_origin_is_read_alike(tmp_path: Path) -> None:
    text = 'name,text\r\nada,"one, ""two""\r\nthree"\r\n\r\nbé,\r\n'
    expected = [{"name": "ada", "text": 'one, "two"\r\nthree'}, {"name": "bé", "text": ""}]
    variants = {
        "plain.csv": text.encode(),
        "excel.csv": b"\xef\xbb\xbf" + text.encode(),
        "windows.csv": text.encode("utf-16"),
        "german.csv": 'name;text\r\nada;"one, ""two""\r\nthree"\r\nbé;\r\n'.encode(),
        "tabs.tsv": 'name\ttext\nada\t"one, ""two""\r\nthree"\nbé\t'.encode(),
    }
    for name, content in variants.items():
        assert cells(write(tmp_path, name, content)) == expected, name
    table = open_table(tmp_path / "plain.csv")
    assert [(row.number, row.place) for row in table.rows() if isinstance(row, Row)] == [(1, "line 2"), (2, "line 5")]
    assert list(table.rows()) == list(table.rows())


@pytest.mark.parametrize("header", ['id,"Name; first; last"', '"a;b;\tc;""d;"",e;",id', 'id,5" or 6; or 7"', "id,text"])
def test_the_delimiter_is_the_one_outside_of_quotes(tmp_path: Path, header: str) -> None:
    table = DelimitedTable(write(tmp_path, "t.csv", f"{header}\n1,x\n"))
    assert (table.delimiter, len(table.columns), len(list(table.rows()))) == (",", 2, 1)


def test_a_ragged_row_is_an_error_with_its_line_and_the_others_are_read(tmp_path: Path) -> None:
    rows = list(open_table(write(tmp_path, "t.csv", "a,b\n1,2\n3\n\n4,5,6\n7,8\n")).rows())
    assert [str(row) for row in rows if isinstance(row, RowError)] == [
        "line 3: it has 1 cell, and the first line names 2 columns",
        "line 5: it has 3 cells, and the first line names 2 columns",
    ]
    assert [row.number for row in rows if isinstance(row, Row)] == [1, 4]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", b"", "the first line must name the columns"),
        ("t.csv", b"a,b,a\n", "the column 'a' is there twice"),
        ("t.csv", b"a\nx\xff\n", "it is neither UTF-8"),
        ("t.csv", b'a,b\n1,"open\n2,3\n', "is a quote not closed?"),
        ("t.jsonl", b"\n\n", "it has no rows"),
        ("t.parquet", b"PAR1 not really", "cannot be read"),
        ("t.xlsx", b"PK", "a table is a file that ends with .csv, .tsv"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(TableError) as caught:
        list(open_table(path).rows())
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


def test_json_lines_keep_their_values_and_name_each_bad_line(tmp_path: Path) -> None:
    path = write(tmp_path, "t.jsonl", b'\xef\xbb\xbf{"a": 1, "b": null}\n\n[]\n{"a": [2], "c": 3}\n{"a"\n')
    table = open_table(path)
    assert table.columns == ["a", "b"]
    rows = list(table.rows())
    assert [row.cells if isinstance(row, Row) else str(row).split(":")[0] for row in rows] == [
        {"a": 1, "b": None},
        "line 3",
        {"a": [2], "c": 3},
        "line 5",
    ]


def test_parquet_files_and_datasets_on_disk_are_read_in_batches(tmp_path: Path) -> None:
    data = pa.table({"text": [f"t{number}" for number in range(2500)], "size": list(range(2500))})
    pq.write_table(data, tmp_path / "t.parquet")
    folder = tmp_path / "dataset"
    folder.mkdir()
    names = [f"data-0000{number}-of-00002.arrow" for number in range(2)]
    for number, name in enumerate(names):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, data.schema) as stream:
            stream.write_table(data.slice(1500 * number, 1500))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    for path in (tmp_path / "t.parquet", folder):
        table = open_table(path)
        assert table.columns == ["text", "size"]
        assert [dict(row.cells) for row in table.rows() if isinstance(row, Row)] == data.to_pylist()


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="save_to_disk"):
        open_table(tmp_path)
    write(tmp_path, "state.json", json.dumps({"_data_files": [{"filename": "../outside.arrow"}]}))
    with pytest.raises(TableError, match="outside of the folder"):
        open_table(tmp_path)
    write(tmp_path, "dataset_dict.json", '{"splits": ["train", "test"]}')
    with pytest.raises(TableError, match="several splits; name one: "):
        open_table(tmp_path)


def test_parquet_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(TableError, match=r"pip install 'batchgate\[parquet\]'"):
        open_table(write(tmp_path, "t.parquet", b""))


def test_a_delimiter_in_quotes_of_the_header_does_not_hide_the_real_one(tmp_path: Path) -> None:
    assert DelimitedTable(write(tmp_path, "t.csv", '"a,b";c;d;e\n')).columns == ["a,b", "c", "d", "e"]
    assert DelimitedTable(write(tmp_path, "one.csv", "text\nx\n")).delimiter == ","
