"""Retries of ended batches: a new batch of some requests of an earlier one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from typing import Final

from msgspec import UNSET, UnsetType, structs

from batchgate.engine.intake.line_reader import LineReader
from batchgate.engine.lifecycle.batches import Batches
from batchgate.engine.model.batch import Batch, BatchOptions, Dialect
from batchgate.engine.model.errors import DamagedBlob, RefusedError
from batchgate.engine.model.provider_call import OWN_KINDS
from batchgate.engine.model.retry import Retry
from batchgate.engine.model.submission import Submission
from batchgate.engine.ports.batch_store import BatchStore
from batchgate.engine.ports.blobs import ByteStream
from batchgate.engine.ports.rows import RowFormat
from batchgate.engine.results.row_outcomes import EndedRow, RowOutcomes

logger = logging.getLogger(__name__)

SHOWN_IDS: Final = 5
"""Unknown ids that a refusal names."""


class BatchRetry:
    """Creates batches that retry requests of others; callers never see batches of other workspaces."""

    def __init__(
        self,
        *,
        store: BatchStore,
        batches: Batches,
        outcomes: RowOutcomes,
        rows: Mapping[Dialect, RowFormat],
        without_account: Callable[[str, str], str],
        unknown_prefix: Callable[[str, str], str | None],
        webhook_refusal: Callable[[str, str], Awaitable[str | None]],
    ) -> None:
        self._store = store
        self._batches = batches
        self._outcomes = outcomes
        self._rows = rows
        self._without_account = without_account
        self._unknown_prefix = unknown_prefix
        self._webhook_refusal = webhook_refusal

    async def create(
        self, workspace: str, retry: Retry, *, caller: str, name: str | UnsetType, idempotency_key: str | None
    ) -> Batch:
        """Store a batch that retries requests of ``retry.parent``; it has the name of that batch if none is given.

        Raises `RefusedError`, and then stores nothing, if the parent has not ended or has no files any more, if there
        is nothing to retry, or as `Batches.create` does. A create that repeats an earlier one returns that batch.
        """
        parent = await self._batches.find(workspace, retry.parent)
        submission = self._submission(parent, retry, caller=caller, name=name, idempotency_key=idempotency_key)
        repeated = await self._batches.find_repeated(submission)
        if repeated is not None:
            return repeated
        _check_can_be_retried(parent)
        self._check_model(parent, retry, submission.provider)
        await self._check_webhook(parent, retry, submission.options.webhook_url)
        await self._batches.check_quotas(workspace)
        async with aclosing(self._lines(parent, retry)) as body:
            prefix = parent.id.partition("_")[0]
            try:
                return await self._batches.create(lambda: submission, body, LineReader(), id_prefix=prefix)
            except RefusedError as error:
                if error.param == "budget_usd" and retry.budget is UNSET:
                    raise _no_price_for_budget(parent, error) from error
                raise

    def _submission(
        self, parent: Batch, retry: Retry, *, caller: str, name: str | UnsetType, idempotency_key: str | None
    ) -> Submission:
        account = retry.account or parent.provider
        return Submission(
            workspace=parent.workspace,
            dialect=parent.dialect,
            options=self._options(parent, retry, name),
            provider=account,
            headers=parent.headers,
            caller=caller,
            idempotency_key=idempotency_key,
            retry=retry,
        )

    def _options(self, parent: Batch, retry: Retry, name: str | UnsetType) -> BatchOptions:
        options = structs.replace(parent.options, input_file=None, reuse=UNSET, left_jobs=UNSET)
        if name is not UNSET:
            options = structs.replace(options, name=name)
        if retry.webhook is not UNSET:
            options = structs.replace(options, webhook=UNSET if retry.webhook is None else retry.webhook)
        if retry.budget is not UNSET:
            options = structs.replace(options, budget=UNSET if retry.budget is None else retry.budget)
        if retry.account is not None and retry.account != parent.provider:
            # The lane was chosen for the other account.
            options = structs.replace(options, lane=UNSET, account_lanes=UNSET)
        model = retry.model or options.model
        if model is not None:
            options = structs.replace(options, model=self._changed_model(model, retry))
        return options

    def _changed_model(self, model: str, retry: Retry) -> str:
        """Return the model that a request gets which names ``model``."""
        if retry.model is not None:
            return retry.model
        return model if retry.account is None else self._without_account(retry.account, model)

    def _check_model(self, parent: Batch, retry: Retry, account: str) -> None:
        if retry.model is None:
            return
        if parent.options.kind in OWN_KINDS:
            message = f"model: requests to {parent.options.kind}'s own urls name their models there; leave it out"
            raise RefusedError("invalid_request_error", message, param="model")
        prefix, slash, _ = retry.model.partition("/")
        unknown = self._unknown_prefix(account, prefix) if slash else None
        if unknown is not None:
            raise RefusedError("invalid_request_error", f"model: {unknown}", param="model")

    async def _check_webhook(self, parent: Batch, retry: Retry, url: str | None) -> None:
        refusal = None if url is None else await self._webhook_refusal(parent.workspace, url)
        if refusal is None:
            return
        if retry.webhook is UNSET:
            refusal = (
                f"the webhook URL of batch {parent.id!r} can no longer be used: {refusal}; or retry without it:"
                " webhook_url null, or `batchgate retry --webhook none`"
            )
        raise RefusedError("invalid_request_error", f"webhook_url: {refusal}", param="webhook_url")

    async def _lines(self, parent: Batch, retry: Retry) -> ByteStream:
        """Yield the input lines of the requests to retry; raises `RefusedError` if there are none."""
        wanted, is_empty = _Wanted(retry.custom_ids), True
        try:
            async with aclosing(self._outcomes.read(parent)) as groups:
                async for group in groups:
                    lines = await asyncio.to_thread(self._chosen, parent, retry, group, wanted)
                    if lines:
                        is_empty = False
                        yield lines
        except DamagedBlob as error:
            raise await self._unreadable(parent, error) from error
        if wanted.missing:
            raise _unknown_ids(parent, wanted.missing)
        if is_empty:
            raise _nothing_to_retry(parent, retry)

    def _chosen(self, parent: Batch, retry: Retry, group: list[EndedRow], wanted: _Wanted) -> bytes:
        """Return the lines of a group that are retried, with their new models."""
        rows, lines = self._rows[parent.dialect], list[bytes]()
        for row in group:
            if not wanted.take(row.custom_id) or not retry.includes(row.failure):
                continue
            if retry.model is None and retry.account is None:
                lines.append(row.line)
            else:
                lines.append(rows.change_model(row.line, lambda model: self._changed_model(model, retry)))
        return b"".join(lines)

    async def _unreadable(self, parent: Batch, error: DamagedBlob) -> RefusedError:
        """Return the refusal for a batch whose files could not be read: they are damaged, or deleted meanwhile."""
        current = await self._store.find_batch(parent.workspace, parent.id)
        if current is None or current.input_blob is None:
            return _gone(parent)
        fields = {"action": "retry_unreadable", "batch": parent.id, "workspace": parent.workspace}
        logger.error("the requests of %s cannot be read to retry them: %s", parent.id, error, extra=fields)
        message = f"The stored files of batch {parent.id!r} are damaged, so it cannot be retried; submit its requests."
        return RefusedError("api_error", message)


class _Wanted:
    """The ids of the requests to retry, and those of them that the batch does not have."""

    def __init__(self, custom_ids: Iterable[str] | None) -> None:
        self._wanted = None if custom_ids is None else frozenset(custom_ids)
        self.missing = set(self._wanted or ())
        """Those that were not taken yet."""

    def take(self, custom_id: str) -> bool:
        """Return whether the request of this id is wanted."""
        self.missing.discard(custom_id)
        return self._wanted is None or custom_id in self._wanted


def _check_can_be_retried(parent: Batch) -> None:
    if parent.status == "failed":
        message = f"Batch {parent.id!r} failed: its input file has faults, so no request was sent; submit another file."
    elif parent.ended_at is None:
        message = f"Batch {parent.id!r} is {parent.status}; it can be retried once it has ended."
    elif parent.archived_at is not None:
        raise _gone(parent)
    elif parent.input_blob is None:
        message = f"Batch {parent.id!r} was canceled during the validation of its file; submit the file again."
    else:
        return
    raise RefusedError("invalid_request_error", message)


def _no_price_for_budget(parent: Batch, error: RefusedError) -> RefusedError:
    message = (
        f"{error.message}, or retry without the budget of batch {parent.id!r}: budget_usd null, or"
        " `batchgate retry --budget none`"
    )
    return RefusedError(error.kind, message, param=error.param)


def _gone(parent: Batch) -> RefusedError:
    message = (
        f"The requests of batch {parent.id!r} are gone: its files were deleted or have expired. Submit them again."
    )
    return RefusedError("not_found_error", message)


def _nothing_to_retry(parent: Batch, retry: Retry) -> RefusedError:
    which = "none of its requests" if retry.custom_ids is None else "none of the named requests"
    ended = f"{which} ended as {' or '.join(retry.only)}" if retry.only else "all its requests succeeded"
    return RefusedError("invalid_request_error", f"Batch {parent.id!r} has nothing to retry: {ended}.")


def _unknown_ids(parent: Batch, missing: Collection[str]) -> RefusedError:
    shown = ", ".join(repr(custom_id) for custom_id in sorted(missing)[:SHOWN_IDS])
    more = f" and {len(missing) - SHOWN_IDS} more" if len(missing) > SHOWN_IDS else ""
    message = f"custom_ids: batch {parent.id!r} has no request {shown}{more}"
    return RefusedError("invalid_request_error", message, param="custom_ids")
