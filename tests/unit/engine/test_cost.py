"""The cost of answers: whole nano-dollars, with prices by model, a price for all other models, and cached tokens."""

import pytest

from batchgate.accounts import endpoints
from batchgate.engine.model.cost import cost_of
from batchgate.engine.model.provider_call import Account, Price
from batchgate.engine.model.usage import Usage
from batchgate.engine.model.workspace import format_dollars
from batchgate.providers.simulator.simulator import SimulatorTransport
from batchgate.settings import AccountSettings, PriceSettings, Settings
from tests.support.engine_parts import no_secret
from tests.support.running_app import simulator

USAGE = Usage(input_tokens=1_000, cached_tokens=400, output_tokens=50)
PRICES = {
    "m": Price(input=3_000_000_000, cached_input=300_000_000, output=15_000_000_000),
    "*": Price(input=1, cached_input=0, output=0),
    "free": Price(input=0, cached_input=0, output=0),
}


def account(prices: dict[str, Price]) -> Account:
    return Account(name="a", provider="p", base_url="http://up", prices=prices)


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        pytest.param("m", USAGE, 600 * 3_000 + 400 * 300 + 50 * 15_000, id="price of the model"),
        pytest.param("other", USAGE, 1, id="price of all other models, rounded up"),
        pytest.param("free", USAGE, 0, id="free"),
        pytest.param("m", None, 0, id="no usage"),
        pytest.param("m", Usage(), 0, id="no tokens"),
        pytest.param("m", Usage(input_tokens=1, cached_tokens=5), 300, id="more cached tokens than input tokens"),
    ],
)
def test_the_cost_of_an_answer(model: str, usage: Usage | None, expected: int) -> None:
    assert cost_of(usage, account(PRICES), model) == expected


def test_without_prices_the_cost_is_zero() -> None:
    assert cost_of(USAGE, account({}), "m") == 0


def test_prices_in_settings_are_dollars_per_million_tokens() -> None:
    prices = {"m": PriceSettings(input=0.0375, output=1.25), "n": PriceSettings(input=1, cached_input=0.5, output=2)}
    given = AccountSettings(provider="simulator", prices=prices, simulator=simulator().simulator)
    [endpoint] = endpoints(Settings(accounts={"a": given}), SimulatorTransport(given.simulator), {}, no_secret)
    assert endpoint.account.prices == {
        "m": Price(input=37_500_000, cached_input=37_500_000, output=1_250_000_000),
        "n": Price(input=1_000_000_000, cached_input=500_000_000, output=2_000_000_000),
    }


@pytest.mark.parametrize(
    ("nanodollars", "text"),
    [
        (0, "$0.00"),
        (1_234_567_890_000, "$1,234.56789"),
        (500_000, "$0.0005"),
        (3_000_000_000, "$3.00"),
        (1, "$0.000000001"),
    ],
)
def test_amounts_have_two_decimals_and_more_only_if_needed(nanodollars: int, text: str) -> None:
    assert format_dollars(nanodollars) == text
