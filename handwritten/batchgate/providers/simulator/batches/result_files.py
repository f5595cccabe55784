"""Writes the result files of an ended job, with the faults of its rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.providers.simulator.batches.rows import RowLog
from batchgate.providers.simulator.batches.spoiled_rows import spoil_line
from batchgate.providers.simulator.batches.wire import JobRules, RowAnswer, RowCall


class ResultFiles(Struct, frozen=True, kw_only=True):
    """The files with the results of a job; None for a file that the job does not have."""

    output: Path | None = None
    error: Path | None = None


def write_result_files(
    log: RowLog, folder: Path, rules: JobRules, faults: BatchFaults, answer: Callable[[RowCall], RowAnswer]
) -> ResultFiles:
    """Write the result lines of all rows to an output file and an error file, or to one file."""
    output, error = folder / "output.jsonl", folder / "errors.jsonl"
    with ExitStack() as opened:
        good = opened.enter_context(output.open("wb"))
        bad = good if rules.one_result_file else opened.enter_context(error.open("wb"))
        for index, line in log.lines(result_order(len(log.rows), rules, faults)):
            file = good if log.rows[index].state == "succeeded" else bad
            file.write(spoil_line(line, index, faults))
        for number in range(faults.foreign_rows):
            index = len(log.rows) + number
            custom_id = f"foreign-{number}"
            call = RowCall(job_id=folder.name, index=index, custom_id=custom_id, line=log.first_line())
            good.write(answer(call).line)
    keep_error = rules.error_file_always or faults.empty_error_file
    return ResultFiles(output=_if_needed(output, keep=rules.one_result_file), error=_if_needed(error, keep=keep_error))


def _if_needed(path: Path, *, keep: bool) -> Path | None:
    """Return the path of a file, or None if there is no reason to have it."""
    return path if path.exists() and (keep or path.stat().st_size) else None


def result_order(count: int, rules: JobRules, faults: BatchFaults) -> list[int]:
    """Return the numbers of the rows in the order of their results."""
    missing = frozenset(faults.missing_rows)
    indexes = [index for index in range(count) if index not in missing]
    indexes += [index for index in faults.doubled_rows if index < count]
    if rules.reordered:  # odd rows, then even ones: a client that relies on the order fails with two rows already
        indexes = indexes[1::2] + indexes[::2]
    return indexes[::-1] if faults.reorder_rows else indexes
