"""Retries of ended batches."""

from __future__ import annotations

from aiohttp import web
from msgspec import UNSET, UnsetType

from batchgate.api.binding import value_or_none
from batchgate.api.context import CALLER, RETRIES, WORKSPACE
from batchgate.api.gateway.summaries import SUMMARIES
from batchgate.api.provider_names import ProviderNames
from batchgate.engine.model.budget import budget_of
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.retry import Retry
from batchgate_api import gateway, parameters


class BatchRetriesHandler:
    """`BatchRetriesHandlers` on the engine."""

    def __init__(self, names: ProviderNames) -> None:
        self._names = names

    async def retry_batch(
        self, request: web.Request, parameters: parameters.RetryBatchParameters, body: gateway.RetryBatch
    ) -> gateway.BatchSummary:
        """Create a batch of requests of an ended batch."""
        account, ids = value_or_none(body.account), value_or_none(body.custom_ids)
        retry = Retry(
            parent=parameters.batch_id,
            only=tuple(value_or_none(body.only) or ()),
            custom_ids=None if ids is None else tuple(ids),
            model=value_or_none(body.model),
            account=None if account is None else self._names.account(account, "account"),
            webhook=body.webhook_url,
            budget=budget_of(body.budget_usd) if isinstance(body.budget_usd, float) else body.budget_usd,
        )
        batch = await request.app[RETRIES].create(
            request[WORKSPACE],
            retry,
            caller=request[CALLER],
            name=_name(body.name),
            idempotency_key=value_or_none(parameters.idempotency_key),
        )
        [summary] = await request.app[SUMMARIES].of([batch])
        return summary


def _name(name: str | UnsetType) -> str | UnsetType:
    if name is not UNSET and name.endswith("\n"):  # $ in a pattern accepts one
        raise RefusedError("invalid_request_error", "name: it ends with a newline", param="name")
    return name
