"""Which accounts a batch uses, derived from the names by which it is found."""

from msgspec import structs

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.dispatch.router import Router
from batchgate.providers.handlers.anthropic import AnthropicHandler
from batchgate.providers.responses.usage_meter import UsageMeter
from batchgate.providers.simulator.simulator import SimulatorTransport
from tests.support.engine_parts import account, batch
from tests.support.virtual_time import in_virtual_time


def accounts(default: str, *prefixes: str, **configured: str) -> tuple[str, ...]:
    """Return the accounts of a batch; ``configured`` maps account names to providers."""
    router = Router(
        AccountEndpoint(
            account=account(name=name, provider=provider),
            handler=AnthropicHandler(),
            transport=SimulatorTransport(),
            meter=UsageMeter(),
        )
        for name, provider in configured.items()
    )
    names = router.searchable_names((default, *prefixes))
    return router.accounts_of(structs.replace(batch(), provider=default, providers=names))


@in_virtual_time
async def test_they_are_the_default_account_and_those_that_requests_name_but_no_providers() -> None:
    assert accounts("b", "a", "x", a="openai", b="anthropic", c="openai") == ("b", "a")


@in_virtual_time
async def test_an_account_with_the_name_of_another_account_s_provider_is_left_out() -> None:
    configured = {"openai": "openai", "mine": "openai"}
    assert accounts("mine", **configured) == ("mine",)
    assert accounts("openai", "mine", **configured) == ("openai", "mine")
