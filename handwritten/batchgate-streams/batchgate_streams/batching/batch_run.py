"""One batch of single calls: creates it, follows it, and gives each call its reply as soon as it is there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final
from uuid import uuid4

from batchgate_client import AuthenticatedClient
from batchgate_client.models import BatchProgress
from batchgate_streams import aio, calls
from batchgate_streams.batch_options import BatchOptions
from batchgate_streams.batching.creation import bad_request, cancel_call, create_call
from batchgate_streams.batching.replies import error_reply, failure_reply, reply_of
from batchgate_streams.batching.single_calls import Group, SingleCall
from batchgate_streams.display import done
from batchgate_streams.errors import ConnectionFailed, GatewayRefused, StreamsError, UnusableAnswer
from batchgate_streams.outage import SERVER_ERROR, Outage, retry_delay
from batchgate_streams.polling import FINAL, POLL_TIMEOUT

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 15.0
"""Seconds between two looks at a batch: an eighth of its age, between these bounds."""
_logger: Final = logging.getLogger(__name__)


class BatchRun:
    """Runs the calls of one group as one batch."""

    def __init__(
        self, client: AuthenticatedClient, group: Group, single_calls: Sequence[SingleCall], options: BatchOptions
    ) -> None:
        self._client = client
        self._group = group
        self._calls = list(single_calls)
        self._options = options
        self._outage = Outage()
        self._paused: str | None = None

    async def run(self) -> None:
        """Give each call a reply; failures of the gateway become replies, too."""
        try:
            batch_id = await self._create()
            if batch_id is not None:
                _logger.info("batch %s has %d calls of %s", batch_id, len(self._calls), self._group.endpoint)
                await self._follow(batch_id)
        except StreamsError as error:
            self._fail(error)
        except Exception as error:
            for call in self._calls:
                call.fail(error)
            raise

    async def _create(self) -> str | None:
        """Create the batch without the calls that the gateway refuses; returns None if no call is left.

        But a batch that may exist, since the answer to its create was lost, is returned, so that it can be canceled.
        """
        key: str | None = None
        may_exist = False
        while any(call.waits for call in self._calls):
            if key is None:  # a repeated create has the same key, and so the same requests
                key = uuid4().hex
                self._calls = [call for call in self._calls if call.waits]
                may_exist = False
            try:
                return await self._create_once(key)
            except GatewayRefused as error:
                bad = bad_request(error, len(self._calls))
                if bad is None:
                    may_exist = may_exist or error.status >= SERVER_ERROR
                    await self._pause_after(error)
                else:
                    reply = error_reply(self._group.endpoint, error.status, bad.message, error.refusal.type)
                    self._calls[bad.place].resolve(reply)
                    key = None
            except ConnectionFailed as error:
                may_exist = True
                await self._pause_after(error)
        return await self._find_created(key) if key and may_exist else None

    async def _find_created(self, key: str) -> str | None:
        """Repeat a create once, which returns the batch that it has made."""
        try:
            return await self._create_once(key)
        except StreamsError as error:
            _logger.warning("a batch of %d calls may run although no caller waits: %s", len(self._calls), error)
            return None

    async def _create_once(self, key: str) -> str:
        call = create_call(self._group, self._calls, self._options, key)
        async with aio.answer(self._client, call) as response:
            await response.aread()
            self._outage.end()
            return calls.as_model(response, calls.batch_id)

    async def _follow(self, batch_id: str) -> None:
        began = time.monotonic()
        read = 0
        while any(call.waits for call in self._calls):
            try:
                progress = await self._progress(batch_id)
                is_final = progress.status in FINAL
                if is_final or done(progress) > read:  # the counts may be ahead of the results
                    read = await self._read_results(batch_id)
            except (ConnectionFailed, GatewayRefused) as error:
                await self._pause_after(error)
                continue
            self._outage.end()
            if is_final:
                self._fail(UnusableAnswer(f"batch {batch_id} has ended without a result of this request"))
                return
            await self._pause(min(max(FIRST_PAUSE, (time.monotonic() - began) / 8), LONGEST_PAUSE))
        if read < len(self._calls):
            await self._cancel(batch_id)

    async def _progress(self, batch_id: str) -> BatchProgress:
        call = calls.progress_call(batch_id) | {"timeout": POLL_TIMEOUT}
        async with aio.answer(self._client, call) as response:
            await response.aread()
            progress = calls.as_model(response, BatchProgress.from_dict)
        paused = progress.paused.reason if progress.paused else None
        if paused != self._paused and paused is not None:
            _logger.warning("batch %s waits, and with it %d calls: %s", batch_id, len(self._calls), paused)
        self._paused = paused
        return progress

    async def _read_results(self, batch_id: str) -> int:
        """Give their replies to the calls that have a result, and return how many have one."""
        count = 0
        async with aclosing(aio.stream_results(self._client, batch_id, partial=True)) as rows:
            async for row in rows:
                with calls.unusable(f"a result of batch {batch_id}"):
                    self._calls[int(row["custom_id"])].resolve(reply_of(row))
                count += 1
        return count

    async def _cancel(self, batch_id: str) -> None:
        """Cancel a batch that nobody waits for."""
        async with aio.answer(self._client, cancel_call(self._group, batch_id)):
            _logger.info("batch %s is canceled, since no caller waits for it", batch_id)

    async def _pause_after(self, error: ConnectionFailed | GatewayRefused) -> None:
        """Wait before the next try; raises the error if that is useless, or after an outage of a minute."""
        delay = retry_delay(error, 1.0)
        self._outage.begin(time.monotonic())
        self._outage.check(error, time.monotonic() + delay)
        await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        """Wait, or until nobody waits for a reply any more."""
        waiting = [call.reply for call in self._calls if call.waits]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    def _fail(self, error: StreamsError) -> None:
        for call in self._calls:
            call.resolve(failure_reply(self._group.endpoint, error))
