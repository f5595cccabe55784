"""An account with the handler and transport to call it, and a key that may be replaced at run time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf

import msgspec
from msgspec import UnsetType

from batchgate.engine.model.batch import BatchOptions
from batchgate.engine.model.errors import ConfigurationError, StoreError
from batchgate.engine.model.lane import Lane
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest
from batchgate.engine.ports.provider import ProviderHandler, TokenMeter, Transport
from batchgate.engine.ports.provider_batches import ProviderBatches

logger = logging.getLogger(__name__)


class AccountEndpoint:
    """An account, the handler of its dialect, and the transport to it."""

    __slots__ = (
        "_read_began",
        "_read_key",
        "_read_lock",
        "account",
        "batches",
        "handler",
        "is_model_part",
        "meter",
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
        is_model_part: Callable[[str], bool] = lambda _: True,
        batches: ProviderBatches | None = None,
    ) -> None:
        self.account = account
        """With the key that was read last."""
        self.handler = handler
        self.transport = transport
        self.meter = meter
        self.batches = batches
        """The provider's batch API; None if it has none."""
        self.is_model_part = is_model_part
        """Tells whether a prefix that is no account's name belongs to the name of a model of this account."""
        self._read_key = read_key
        self._read_began = -inf
        self._read_lock = asyncio.Lock()

    async def read_key(self) -> None:
        """Read the key if it is in a file or a secret; raises `ConfigurationError` or `StoreError`."""
        if self._read_key is not None:
            self.account = msgspec.structs.replace(self.account, api_key=await self._read_key())

    async def refresh_key(self) -> bool:
        """Read the key again if it is in a file or a secret, and return whether it has changed."""
        if self._read_key is None:
            return False
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
        except (ConfigurationError, StoreError) as error:
            fields = {"action": "provider_key_read_failed", "account": self.account.name}
            logger.warning("cannot read the key of account %r: %s", self.account.name, error, extra=fields)
            return
        if key != self.account.api_key:
            self.account = msgspec.structs.replace(self.account, api_key=key)
            fields = {"action": "provider_key_replaced", "account": self.account.name}
            logger.info("account %r has a new key", self.account.name, extra=fields)


def lane_of(options: BatchOptions, endpoint: AccountEndpoint) -> Lane:
    """Return the lane that a batch asks for, or else its account's."""
    return endpoint.account.lane if isinstance(options.lane, UnsetType) else options.lane


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
        return await self.endpoint.refresh_key() or self._account is not self.endpoint.account
