"""Tables in Parquet files, and in Hugging Face datasets that `save_to_disk` has written (Arrow files)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from batchgate.tables.errors import RowError, TableError
from batchgate.tables.table import Row

BATCH_ROWS: Final = 1000
"""Rows in memory at a time."""
STATE_FILE: Final = "state.json"
SPLITS_FILE: Final = "dataset_dict.json"


class _DataFile(msgspec.Struct):
    filename: str


class _State(msgspec.Struct):
    """What `save_to_disk` writes about a dataset."""

    files: list[_DataFile] = msgspec.field(name="_data_files")


class _Splits(msgspec.Struct):
    splits: list[str]


def arrow() -> ModuleType:
    """Import pyarrow, which an extra installs; it takes a tenth of a second and 40 MB."""
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise TableError("Parquet and Arrow files need an extra: pip install 'batchgate[parquet]'") from error


class ParquetTable:
    """A `Table` in a Parquet file, read by record batches."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _read_errors(path), self._opened() as file:
            self.schema: Any = file.schema_arrow
            """The Arrow schema."""
        self.columns: Sequence[str] = list(self.schema.names)

    def rows(self) -> Iterator[Row | RowError]:
        """Read the rows."""
        with _read_errors(self._path), self._opened() as file:
            yield from _rows(file.iter_batches(batch_size=BATCH_ROWS))

    def _opened(self) -> Any:
        return arrow().parquet.ParquetFile(self._path, pre_buffer=False, memory_map=True)


class DatasetTable:
    """A `Table` in the folder of a Hugging Face dataset, whose files are Arrow streams."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = [folder / name for name in _data_files(folder)]
        with _read_errors(folder), self._opened(self._files[0]) as reader:
            self.schema: Any = reader.schema
            """The Arrow schema."""
        self.columns: Sequence[str] = list(self.schema.names)

    def rows(self) -> Iterator[Row | RowError]:
        """Read the rows of all files."""
        with _read_errors(self._folder):
            yield from _rows(batch for path in self._files for batch in self._batches(path))

    def _batches(self, path: Path) -> Iterator[Any]:
        with self._opened(path) as reader:
            for batch in reader:
                yield from (batch.slice(start, BATCH_ROWS) for start in range(0, batch.num_rows, BATCH_ROWS))

    def _opened(self, path: Path) -> Any:
        return arrow().ipc.open_stream(arrow().memory_map(str(path)))


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """Turn errors of pyarrow and of the file system into `TableError`."""
    try:
        yield
    except (OSError, arrow().ArrowException) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error


def _rows(batches: Iterator[Any]) -> Iterator[Row | RowError]:
    numbers = count(1)
    for batch in batches:
        for cells in batch.to_pylist():
            number = next(numbers)
            yield Row(number, f"row {number}", cells)


def _data_files(folder: Path) -> Sequence[str]:
    """Return the names of a dataset's files; raises `TableError` for a folder that is something else."""
    try:
        if (folder / SPLITS_FILE).is_file():
            splits = msgspec.json.decode((folder / SPLITS_FILE).read_bytes(), type=_Splits).splits
            named = ", ".join(str(folder / split) for split in splits)
            raise TableError(f"{folder}: it has several splits; name one: {named}")
        files = msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=_State).files
    except (OSError, msgspec.DecodeError) as error:
        raise TableError(f"{folder}: it is not a folder that save_to_disk of Hugging Face has written") from error
    if not files or any(Path(file.filename).name != file.filename for file in files):
        raise TableError(f"{folder}: its {STATE_FILE} names no files, or files outside of the folder")
    return [file.filename for file in files]
