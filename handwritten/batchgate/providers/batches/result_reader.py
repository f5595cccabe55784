"""Reads the result files of a job line by line, with one rule for lines that are no results."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import NativeResult
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.result_lines import split_lines

logger = logging.getLogger(__name__)

_SPARE_LINES: Final = 1000
"""Lines that a result file may have beyond two for each request."""


async def read_results(
    exchange: HttpExchange,
    account: Account,
    job: NativeJob,
    call: HttpCall,
    read: Callable[[bytes], NativeResult | None],
) -> AsyncGenerator[NativeResult, None]:
    """Yield the results of one file; lines that are none are skipped, and logged once with their number.

    A last line that is no result and has no end means that the file was cut off: that raises `NoUpstreamAnswer`, which
    is safe to retry, as a file does that has far more lines than the job has requests, which is not.
    """
    skipped, first = 0, 0
    most = 2 * job.requests + _SPARE_LINES
    async with aclosing(exchange.download(account, call)) as blocks, aclosing(split_lines(blocks)) as lines:
        async for line in lines:
            if line.number > most:
                raise _no_answer(f"it has more than {most} lines for {job.requests} requests", retry_safe=False)
            result = read(line.content)
            if result is not None:
                yield result
            elif not line.is_ended:
                raise _no_answer(f"it ends in the middle of line {line.number}", retry_safe=True)
            else:
                skipped, first = skipped + 1, first or line.number
    if skipped:
        logger.warning(
            "account %s: %d lines of a result file of job %s are no results; the first is line %d",
            account.name,
            skipped,
            job.token,
            first,
            extra={"action": "result_lines_skipped", "account": account.name},
        )


def _no_answer(problem: str, *, retry_safe: bool) -> NoUpstreamAnswer:
    message = f"The provider's result file is not usable: {problem}."
    return NoUpstreamAnswer("api_error", message, status=200, retry_safe=retry_safe)
