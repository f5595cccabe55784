"""An account with the handler and transport to call it, and a key that may be replaced at run time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

import msgspec
from msgspec import UnsetType

from batchgate.engine.model.batch import BatchOptions
from batchgate.engine.model.errors import ConfigurationError, StoreError, UpstreamError
from batchgate.engine.model.lane import Lane, LaneReason
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest
from batchgate.engine.ports.price_list import NoPrices, PriceList
from batchgate.engine.ports.provider import ContentTransport, ProviderHandler, TokenMeter, Transport
from batchgate.engine.ports.provider_batches import ProviderBatches
from batchgate.engine.ports.provider_tasks import ProviderTasks

logger = logging.getLogger(__name__)


class AccountEndpoint:
    """An account, the handler of its dialect, and the transport to it."""

    __slots__ = (
        "_read_began",
        "_read_key",
        "_read_lock",
        "_reject_key",
        "account",
        "batches",
        "contents",
        "downloads",
        "handler",
        "is_model_part",
        "meter",
        "models_path",
        "prices",
        "tasks",
        "transport",
    )

    def __init__(
        self,
        *,
        account: Account,
        handler: ProviderHandler,
        transport: Transport,
        meter: TokenMeter,
        read_key: Callable[[], Awaitable[str]] | None = None,
        reject_key: Callable[[str | None], None] = lambda _: None,
        is_model_part: Callable[[str], bool] = lambda _: True,
        batches: ProviderBatches | None = None,
        prices: PriceList | None = None,
        tasks: ProviderTasks | None = None,
        contents: ContentTransport | None = None,
        downloads: ContentTransport | None = None,
        models_path: str | None = None,
    ) -> None:
        self.account = account
        """With the key that was read last."""
        self.handler = handler
        self.transport = transport
        self.meter = meter
        self.batches = batches
        """The provider's batch API; None if it has none."""
        self.tasks = tasks
        """Its tasks; None if its calls return when the work is done."""
        self.contents = contents
        """The transport for calls whose answers become files."""
        self.downloads = downloads
        """The transport for the URLs in answers, which may lead anywhere."""
        self.models_path = models_path
        """The path below the URL of the account that lists the models; None if the provider lists none."""
        self.prices = prices or NoPrices()
        self.is_model_part = is_model_part
        """Tells whether a prefix that is no account's name belongs to the name of a model of this account."""
        self._read_key = read_key
        self._reject_key = reject_key
        """Is told of a key that the provider has rejected, before a key is read again."""
        self._read_began = -inf
        self._read_lock = asyncio.Lock()

    @property
    def min_job_requests(self) -> int:
        """The least requests that a job may have: those of the account, or else of the provider."""
        least = 1 if self.batches is None else self.batches.limits.min_requests
        return self.account.job_min_requests or least

    async def read_key(self) -> None:
        """Read the key if it is in a file or a secret; raises `ConfigurationError` or `StoreError`.

        A key that a server does not give now is read again later.
        """
        if self._read_key is None:
            return
        try:
            self.account = msgspec.structs.replace(self.account, api_key=await self._read_key())
        except UpstreamError as error:
            self._report_unread_key(error)

    async def refresh_key(self, *, rejected: str | None = None) -> bool:
        """Read the key again if it is in a file or a secret, and return whether it has changed.

        ``rejected`` is the key that the provider has rejected.
        """
        if self._read_key is None:
            return False
        if rejected is not None:
            self._reject_key(rejected)
        loop = asyncio.get_running_loop()
        before, called_at = self.account, loop.time()
        async with self._read_lock:
            if self._read_began <= called_at:  # else a read that began later serves all that waited for the lock
                self._read_began = loop.time()
                await self._replace_key(self._read_key)
        return self.account is not before

    async def _replace_key(self, read_key: Callable[[], Awaitable[str]]) -> None:
        try:
            key = await read_key()
        except (ConfigurationError, StoreError, UpstreamError) as error:
            self._report_unread_key(error)
            return
        if key != self.account.api_key:
            self.account = msgspec.structs.replace(self.account, api_key=key)
            fields = {"action": "provider_key_replaced", "account": self.account.name}
            logger.info("account %r has a new key", self.account.name, extra=fields)

    def _report_unread_key(self, problem: Exception) -> None:
        fields = {"action": "provider_key_read_failed", "account": self.account.name}
        logger.warning("cannot read the key of account %r: %s", self.account.name, problem, extra=fields)


LANE_DIRECT: Final = LaneReason("lane_direct", "the lane is direct")


def lane_of(options: BatchOptions, endpoint: AccountEndpoint) -> Lane:
    """Return the lane that a batch asks for, or else the one that the account had at its creation, or has now."""
    if not isinstance(options.lane, UnsetType):
        return options.lane
    at_creation = {} if isinstance(options.account_lanes, UnsetType) else options.account_lanes
    return at_creation.get(endpoint.account.name, endpoint.account.lane)


def reason_of_account(options: BatchOptions, endpoint: AccountEndpoint) -> LaneReason | None:
    """Return why no request of a batch to this account can travel in a job, whatever it contains; None if some may."""
    if lane_of(options, endpoint) == "direct":
        return LANE_DIRECT
    if endpoint.batches is None:
        return LaneReason("no_batch_api", f"lane: account {endpoint.account.name!r} has no batch API")
    return None


class Call:
    """A request encoded for its provider with the account's current key."""

    __slots__ = ("_account", "_upstream", "endpoint", "row")

    def __init__(self, endpoint: AccountEndpoint, row: RequestRow) -> None:
        self.endpoint = endpoint
        self.row = row
        self._account = endpoint.account
        self._upstream = endpoint.handler.encode(self._account, row)

    @property
    def upstream(self) -> UpstreamRequest:
        """The HTTP request to send now; encoded again after a change of the key."""
        if self._account is not self.endpoint.account:
            self._account = self.endpoint.account
            self._upstream = self.endpoint.handler.encode(self._account, self.row)
        return self._upstream

    async def key_was_replaced(self) -> bool:
        """Refresh the key, and return whether it differs from the one sent last."""
        rejected = self._account.api_key
        return await self.endpoint.refresh_key(rejected=rejected) or self._account is not self.endpoint.account
