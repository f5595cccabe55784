"""A key in a file or a secret is read again without a restart, and not once for each denied call."""

import asyncio

import pytest

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.dispatch.provider_key_refresh import ProviderKeyRefresh
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.errors import ConfigurationError, StoreError
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.responses.usage_meter import UsageMeter
from batchgate.providers.simulator.simulator import SimulatorTransport
from tests.support.engine_parts import account
from tests.support.virtual_time import in_virtual_time


class Keys:
    """A file or secret with the key; reading it takes a second."""

    def __init__(self, key: str | Exception) -> None:
        self.key = key
        self.reads = 0

    async def read(self) -> str:
        """Return the key as it was when the read began."""
        self.reads += 1
        key = self.key
        await asyncio.sleep(1)
        if isinstance(key, Exception):
            raise key
        return key


def endpoint(keys: Keys) -> AccountEndpoint:
    return AccountEndpoint(
        account=account(api_key="old"),
        handler=AnthropicHandler(),
        transport=SimulatorTransport(),
        meter=UsageMeter(),
        read_key=keys.read,
    )


@in_virtual_time
async def test_calls_that_are_denied_together_share_a_read() -> None:
    keys = Keys("new")
    one = endpoint(keys)

    async def denied(number: int) -> bool:
        await asyncio.sleep(number / 1000)
        return await one.refresh_key()

    assert all(await asyncio.gather(*(denied(number) for number in range(100))))
    assert (one.account.api_key, keys.reads) == ("new", 2)


@in_virtual_time
async def test_a_key_that_is_replaced_during_a_read_is_read_again() -> None:
    keys = Keys("old")
    one = endpoint(keys)
    first = asyncio.create_task(one.refresh_key())
    await asyncio.sleep(0.5)
    keys.key = "new"
    assert await one.refresh_key()
    assert (await first, one.account.api_key) == (False, "new")


@pytest.mark.parametrize(
    "error", [StoreError("unreachable"), ConfigurationError("accounts.a.api_key_secret", "a secret")]
)
@in_virtual_time
async def test_a_key_that_cannot_be_read_again_is_kept(error: Exception) -> None:
    one = endpoint(Keys(error))
    assert not await one.refresh_key()
    assert one.account.api_key == "old"
    with pytest.raises(type(error)):
        await one.read_key()


@in_virtual_time
async def test_a_key_that_another_process_replaces_is_used_within_half_a_minute() -> None:
    keys = Keys("old")
    one = endpoint(keys)
    refresh = asyncio.create_task(ProviderKeyRefresh(Router([one])).run())
    await asyncio.sleep(3600)
    keys.key = "new"
    await asyncio.sleep(31)
    assert one.account.api_key == "new"
    refresh.cancel()
