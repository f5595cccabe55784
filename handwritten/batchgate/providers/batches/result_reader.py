"""Reads the result files of a job line by line, with one rule for lines that are no results."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Final, TypeVar

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import RESULTS_AT_ONCE, NativeResult, ResultGroups
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.result_lines import split_lines

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SPARE_LINES: Final = 1000
"""Lines that a result file may have beyond two for each request."""


def read_result_files(
    exchange: HttpExchange,
    account: Account,
    job: NativeJob,
    calls: Iterable[HttpCall],
    read: Callable[[bytes], NativeResult | None],
) -> ResultGroups:
    """Return the results of several files, as `chain_results` yields them."""
    return chain_results(read_results(exchange, account, job, call, read) for call in calls)


async def chain_results(files: Iterable[ResultGroups]) -> ResultGroups:
    """Yield the results of files one after the other; one that is missing raises its 404 after those of the others."""
    missing: UpstreamError | None = None
    for file in files:
        try:
            async with aclosing(file):
                async for group in file:
                    yield group
        except UpstreamError as error:
            if error.status != 404:
                raise
            missing = error
    if missing is not None:
        raise missing


def read_results(
    exchange: HttpExchange,
    account: Account,
    job: NativeJob,
    call: HttpCall,
    read: Callable[[bytes], NativeResult | None],
) -> ResultGroups:
    """Return the results of one file, as `read_blocks` yields them."""
    return read_blocks(account, job, exchange.download(account, call), read)


async def read_blocks(
    account: Account, job: NativeJob, blocks: AsyncGenerator[bytes, None], read: Callable[[bytes], NativeResult | None]
) -> ResultGroups:
    """Yield the results of a file that comes in blocks; lines that are none are skipped, and logged with their number.

    A last line that is no result and has no end means that the file was cut off: that raises `NoUpstreamAnswer`, which
    is safe to retry, as a file does that has far more lines than the job has requests, which is not.
    """
    skipped, first = 0, 0
    most = 2 * job.requests + _SPARE_LINES
    async with aclosing(blocks), aclosing(split_lines(blocks)) as groups:
        async for group in groups:
            found, unread = _read_group(account, job, read, group.lines)
            broken = [group.first + index for index in unread if group.lines[index]]
            if found:
                yield found
            elif broken and not group.is_ended:
                raise _no_answer(f"it ends in the middle of line {group.last}", retry_safe=True)
            skipped, first = skipped + len(broken), first or next(iter(broken), 0)
            if group.last > most:
                raise _no_answer(f"it has more than {most} lines for {job.requests} requests", retry_safe=False)
    if skipped:
        logger.warning(
            "account %s: %d lines of a result file of job %s are no results; the first is line %d",
            account.name,
            skipped,
            job.token,
            first,
            extra={"action": "result_lines_skipped", "account": account.name},
        )


def read_rows(
    account: Account, job: NativeJob, read: Callable[[T], NativeResult | None], rows: Iterable[T]
) -> Iterator[Sequence[NativeResult]]:
    """Yield in groups what rows say that are in memory; those that are no results are skipped."""
    remaining = iter(rows)
    while group := list(islice(remaining, RESULTS_AT_ONCE)):
        yield _read_group(account, job, read, group)[0]


def _read_group(
    account: Account, job: NativeJob, read: Callable[[T], NativeResult | None], rows: Sequence[T]
) -> tuple[list[NativeResult], list[int]]:
    """Return what rows say, and the indexes of those that are no results, as is one that causes an unforeseen error.

    The error is logged: it must not keep the other rows of the job.
    """
    found: list[NativeResult] = []
    unread: list[int] = []
    for index, row in enumerate(rows):
        try:
            result = read(row)
        except Exception:
            fields = {"action": "result_row_failed", "account": account.name}
            logger.exception("a result of job %s cannot be read because of an internal error", job.token, extra=fields)
            result = None
        if result is None:
            unread.append(index)
        else:
            found.append(result)
    return found, unread


def _no_answer(problem: str, *, retry_safe: bool) -> NoUpstreamAnswer:
    message = f"The provider's result file is not usable: {problem}."
    return NoUpstreamAnswer("api_error", message, status=200, retry_safe=retry_safe)
