"""An account with what is needed to call it, and a key that may be replaced while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf

import msgspec

from batchgate.engine.model.errors import ConfigurationError, StoreError
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest
from batchgate.engine.ports.provider import Meter, ProviderHandler, Transport

logger = logging.getLogger(__name__)


class Endpoint:
    """An account, how its dialect is spoken, and the way to it."""

    __slots__ = ("_read_at", "_read_key", "_reading", "account", "handler", "meter", "transport")

    def __init__(
        self,
        *,
        account: Account,
        handler: ProviderHandler,
        transport: Transport,
        meter: Meter,
        read_key: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self.account = account
        """With the key as it was read last."""
        self.handler = handler
        self.transport = transport
        self.meter = meter
        self._read_key = read_key
        self._read_at = -inf
        self._reading = asyncio.Lock()

    async def read_key(self) -> None:
        """Read the key where it is kept outside, if it is; raises what the reading raises."""
        if self._read_key is not None:
            self.account = msgspec.structs.replace(self.account, api_key=await self._read_key())

    async def renew_key(self) -> bool:
        """Read the key again where it is kept outside, and tell if it is another one."""
        if self._read_key is None:
            return False
        loop = asyncio.get_running_loop()
        before, asked_at = self.account, loop.time()
        async with self._reading:
            if self._read_at <= asked_at:  # else a reading that began since serves all who waited for this one
                self._read_at = loop.time()
                await self._renew(self._read_key)
        return self.account is not before

    async def _renew(self, read_key: Callable[[], Awaitable[str]]) -> None:
        try:
            key = await read_key()
        except (ConfigurationError, StoreError) as error:
            fields = {"action": "provider_key_read_failed", "account": self.account.name}
            logger.warning("the key of account %r cannot be read: %s", self.account.name, error, extra=fields)
            return
        if key != self.account.api_key:
            self.account = msgspec.structs.replace(self.account, api_key=key)
            fields = {"action": "provider_key_replaced", "account": self.account.name}
            logger.info("account %r has a new key", self.account.name, extra=fields)


class Call:
    """One request in the words of its provider, with the key that its account has."""

    __slots__ = ("_account", "_upstream", "endpoint", "row")

    def __init__(self, endpoint: Endpoint, row: RequestRow) -> None:
        self.endpoint = endpoint
        self.row = row
        self._account = endpoint.account
        self._upstream = endpoint.handler.encode(self._account, row)

    @property
    def upstream(self) -> UpstreamRequest:
        """What to send now."""
        if self._account is not self.endpoint.account:
            self._account = self.endpoint.account
            self._upstream = self.endpoint.handler.encode(self._account, self.row)
        return self._upstream

    async def key_is_outdated(self) -> bool:
        """Tell if the account has another key by now than the one that was sent last."""
        return await self.endpoint.renew_key() or self._account is not self.endpoint.account
