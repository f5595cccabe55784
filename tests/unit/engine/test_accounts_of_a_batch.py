"""Which accounts a batch waits for, told from the names by which lists find it."""

from msgspec import structs

from batchgate.engine.dispatch.endpoint import Endpoint
from batchgate.engine.dispatch.router import Router
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.responses.usage_meter import UsageMeter
from batchgate.providers.simulator.simulator import SimulatorTransport
from tests.support.engine_parts import account, batch
from tests.support.virtual_time import in_virtual_time


def accounts(default: str, *prefixes: str, **configured: str) -> tuple[str, ...]:
    """Ask for the accounts of a batch; ``configured`` are providers by the names of accounts."""
    router = Router(
        Endpoint(
            account=account(name=name, provider=provider),
            handler=AnthropicHandler(),
            transport=SimulatorTransport(),
            meter=UsageMeter(),
        )
        for name, provider in configured.items()
    )
    names = router.names_of((default, *prefixes))
    return router.accounts_of(structs.replace(batch(), provider=default, providers=names))


@in_virtual_time
async def test_they_are_the_default_and_those_that_requests_name_and_no_providers() -> None:
    assert accounts("b", "a", "x", a="openai", b="anthropic", c="openai") == ("b", "a")


@in_virtual_time
async def test_an_account_that_is_called_like_the_provider_of_another_is_not_taken_for_it() -> None:
    configured = {"openai": "openai", "mine": "openai"}
    assert accounts("mine", **configured) == ("mine",)
    assert accounts("openai", "mine", **configured) == ("openai", "mine")
