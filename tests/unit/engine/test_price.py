"""Prices: whole nano-dollars, tokens of a cache, long contexts, and what the native lane saves."""

from fractions import Fraction

import pytest
from msgspec import structs

from batchgate.engine.model.price import LanePrices, LongContextPrice, Price, Spend, spend_on, total_spend
from batchgate.engine.model.usage import Usage
from batchgate.engine.model.workspace import format_dollars

USAGE = Usage(input_tokens=1_000, cached_tokens=400, output_tokens=50)
PRICE = Price(
    input=3_000_000_000,
    cached_input=300_000_000,
    cache_write=3_750_000_000,
    long_cache_write=6_000_000_000,
    output=15_000_000_000,
)
ONE = Price(input=1, cached_input=0, cache_write=1, long_cache_write=1, output=0)
WRITTEN = Usage(input_tokens=1_000, cached_tokens=100, cache_write_tokens=500, long_cache_write_tokens=200)


@pytest.mark.parametrize(
    ("price", "usage", "expected"),
    [
        pytest.param(PRICE, USAGE, 600 * 3_000 + 400 * 300 + 50 * 15_000, id="tokens from the cache cost less"),
        pytest.param(
            PRICE, WRITTEN, 400 * 3_000 + 100 * 300 + 300 * 3_750 + 200 * 6_000, id="tokens to the cache cost more"
        ),
        pytest.param(ONE, USAGE, 1, id="rounded up"),
        pytest.param(PRICE, Usage(), 0, id="no tokens"),
        pytest.param(PRICE, Usage(input_tokens=1, cached_tokens=5), 300, id="more cached tokens than input tokens"),
        pytest.param(
            PRICE, Usage(input_tokens=1, cache_write_tokens=5), 3_750, id="more written tokens than input tokens"
        ),
        pytest.param(structs.replace(ONE, request=5), Usage(), 5, id="each request"),
    ],
)
def test_the_cost_of_an_answer(price: Price, usage: Usage, expected: int) -> None:
    assert price.cost(usage) == expected


def test_all_tokens_of_a_long_request_cost_its_price() -> None:
    longer = structs.replace(PRICE, input=6_000_000_000)
    price = structs.replace(PRICE, long_context=(LongContextPrice(more_than=1_000, price=longer),))
    assert price.cost(Usage(input_tokens=1_000)) == 1_000 * 3_000
    assert price.cost(Usage(input_tokens=1_001)) == 1_001 * 6_000
    assert price.scaled(Fraction(1, 2)).cost(Usage(input_tokens=1_001)) == 1_001 * 3_000


def test_a_discount_applies_to_all_tokens_but_not_to_the_price_of_a_request() -> None:
    half = structs.replace(PRICE, request=10).scaled(Fraction(1, 2))
    assert half.cost(WRITTEN) == PRICE.cost(WRITTEN) // 2 + 10


def test_without_the_discount_of_the_cache_all_input_costs_the_same() -> None:
    assert PRICE.scaled(Fraction(1, 2), cached=False).cost(USAGE) == 1_000 * 1_500 + 50 * 7_500


def test_an_answer_of_the_native_lane_saves_what_a_direct_call_would_have_cost_more() -> None:
    prices = LanePrices(direct=PRICE, native=PRICE.scaled(Fraction(1, 2)))
    direct, native = spend_on(USAGE, prices, native=False), spend_on(USAGE, prices, native=True)
    assert direct == Spend(direct=2_670_000)
    assert native == Spend(native=1_335_000, saved=1_335_000)
    assert total_spend([direct, native]) == Spend(direct=2_670_000, native=1_335_000, saved=1_335_000)
    assert total_spend([direct, native]).total == 4_005_000


@pytest.mark.parametrize("usage", [USAGE, None])
def test_what_the_provider_has_stated_counts_instead_of_the_prices(usage: Usage | None) -> None:
    prices = LanePrices(direct=PRICE, native=PRICE.scaled(Fraction(1, 2)))
    assert spend_on(usage, prices, native=False, stated=7) == Spend(direct=7)
    saved = 0 if usage is None else 2_670_000 - 7
    assert spend_on(usage, prices, native=True, stated=7) == Spend(native=7, saved=saved)
    assert [spend_on(usage, None, native=lane, stated=0).unpriced for lane in (False, True)] == [0, 0]


@pytest.mark.parametrize("native", [True, False])
def test_an_answer_without_a_price_or_without_usage_is_counted_as_such(*, native: bool) -> None:
    assert spend_on(USAGE, None, native=native) == Spend(unpriced=1)
    assert spend_on(None, LanePrices(direct=PRICE, native=PRICE), native=native) == Spend(unpriced=1)


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
