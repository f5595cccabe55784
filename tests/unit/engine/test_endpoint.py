"""A key that is kept outside is read again without a restart, and not once for each call that was turned away."""

import asyncio

import pytest

from batchgate.engine.dispatch.endpoint import Endpoint
from batchgate.engine.dispatch.provider_key_refresh import ProviderKeyRefresh
from batchgate.engine.dispatch.router import Router
from batchgate.engine.model.errors import ConfigurationError, StoreError
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.responses.usage_meter import UsageMeter
from batchgate.providers.simulator.simulator import SimulatorTransport
from tests.support.engine_parts import account
from tests.support.virtual_time import in_virtual_time


class Keys:
    """Where the key is kept; reading it takes a while."""

    def __init__(self, key: str | Exception) -> None:
        self.key = key
        self.readings = 0

    async def read(self) -> str:
        """Read the key as it was when the reading began."""
        self.readings += 1
        key = self.key
        await asyncio.sleep(1)
        if isinstance(key, Exception):
            raise key
        return key


def endpoint(keys: Keys) -> Endpoint:
    return Endpoint(
        account=account(api_key="old"),
        handler=AnthropicHandler(),
        transport=SimulatorTransport(),
        meter=UsageMeter(),
        read_key=keys.read,
    )


@in_virtual_time
async def test_calls_that_are_turned_away_together_share_a_reading() -> None:
    keys = Keys("new")
    one = endpoint(keys)

    async def turned_away(number: int) -> bool:
        await asyncio.sleep(number / 1000)
        return await one.renew_key()

    assert all(await asyncio.gather(*(turned_away(number) for number in range(100))))
    assert (one.account.api_key, keys.readings) == ("new", 2)


@in_virtual_time
async def test_a_key_that_was_replaced_while_another_reading_was_under_way_is_not_missed() -> None:
    keys = Keys("old")
    one = endpoint(keys)
    first = asyncio.create_task(one.renew_key())
    await asyncio.sleep(0.5)
    keys.key = "new"
    assert await one.renew_key()
    assert (await first, one.account.api_key) == (False, "new")


@pytest.mark.parametrize("error", [StoreError("away"), ConfigurationError("accounts.a.api_key_secret", "a secret")])
@in_virtual_time
async def test_a_key_that_cannot_be_read_again_stays_as_it_is(error: Exception) -> None:
    one = endpoint(Keys(error))
    assert not await one.renew_key()
    assert one.account.api_key == "old"
    with pytest.raises(type(error)):
        await one.read_key()


@in_virtual_time
async def test_a_key_that_another_process_replaces_is_taken_up_within_half_a_minute() -> None:
    keys = Keys("old")
    one = endpoint(keys)
    watch = asyncio.create_task(ProviderKeyRefresh(Router([one])).run())
    await asyncio.sleep(3600)
    keys.key = "new"
    await asyncio.sleep(31)
    assert one.account.api_key == "new"
    watch.cancel()
