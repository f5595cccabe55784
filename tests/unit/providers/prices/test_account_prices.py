"""The prices of an account: its settings first, then the catalogue, then the discounts that providers publish."""

from __future__ import annotations

import socket
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.accounts import endpoints
from batchgate.engine.model.clock import HOUR, MICROSECONDS
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.price import Price
from batchgate.engine.model.usage import Usage
from batchgate.engine.ports.price_list import PriceList
from batchgate.providers.batches.openai_dialects import OPENAI_DIALECTS
from batchgate.providers.prices.batch_discounts import BATCH_DISCOUNTS, NO_DISCOUNT, batch_discount
from batchgate.providers.simulator.simulator import SimulatorSettings, SimulatorTransport
from batchgate.settings import Settings
from tests.support.engine_parts import no_secret

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BEFORE_BATCH_PRICES = datetime(2026, 10, 1, tzinfo=UTC)
"""The catalogue states the prices of batches from 2026-10-14 on."""
MILLION = 1_000_000
CACHED = Usage(input_tokens=MILLION, cached_tokens=MILLION)


def prices_of(provider: str, now: datetime = NOW, **account: Any) -> PriceList:
    given = AccountSettings(provider=provider, api_key="key-of-the-provider", **account)
    microseconds = int(now.timestamp() * MICROSECONDS)
    [endpoint] = endpoints(
        Settings(accounts={"a": given}),
        SimulatorTransport(SimulatorSettings()),
        {},
        no_secret,
        now=lambda: microseconds,
    )
    return endpoint.prices


def dollars(prices: PriceList, model: str, usage: Usage) -> tuple[float, float]:
    """Return what an answer costs in each lane, in dollars."""
    found = prices.find(model)
    assert found is not None
    return found.direct.cost(usage) / 1e9, found.native.cost(usage) / 1e9


def test_prices_in_settings_are_dollars_per_million_tokens() -> None:
    given = {
        "m": PriceSettings(input=0.0375, output=1.25),
        "n": PriceSettings(input=1, cached_input=0.5, cache_write=1.25, output=2),
        "*": PriceSettings(input=3, output=4, long_cache_write=6),
    }
    prices = prices_of("simulator", prices=given)
    found = {model: prices.find(model) for model in ("m", "n", "any other")}
    assert {model: price and price.direct for model, price in found.items()} == {
        "m": price(37_500_000, 37_500_000, 37_500_000, 37_500_000, 1_250_000_000),
        "n": price(1_000_000_000, 500_000_000, 1_250_000_000, 1_250_000_000, 2_000_000_000),
        "any other": price(3_000_000_000, 3_000_000_000, 3_000_000_000, 6_000_000_000, 4_000_000_000),
    }


def price(incoming: int, cached: int, written: int, long_written: int, outgoing: int) -> Price:
    return Price(
        input=incoming, cached_input=cached, cache_write=written, long_cache_write=long_written, output=outgoing
    )


@pytest.mark.parametrize(
    ("provider", "model", "direct", "native"),
    [
        ("openai", "gpt-5-mini", 2.25, 1.125),
        ("anthropic", "claude-haiku-4-5", 6, 3),
        ("groq", "openai/gpt-oss-120b", 0.75, 0.375),
        # The catalogue has no price of a batch for these and would return the normal one: the discount is ours.
        ("openai", "text-embedding-3-small", 0.02, 0.01),
        ("anthropic", "claude-opus-4-1", 90, 45),
        ("groq", "llama-3.1-8b-instant", 0.13, 0.065),
        ("cerebras", "gpt-oss-120b", 1.10, 0.55),
        # The catalogue says that a batch costs the same.
        ("openai", "gpt-3.5-turbo-1106", 3, 3),
    ],
)
def test_the_catalogue_has_the_prices_of_both_lanes(provider: str, model: str, direct: float, native: float) -> None:
    prices = prices_of(provider)
    usage = Usage(input_tokens=MILLION, output_tokens=MILLION)
    if provider == "anthropic":  # below the bound of long contexts
        usage = Usage(input_tokens=MILLION // 10, output_tokens=MILLION // 10)
        direct, native = direct / 10, native / 10
    assert dollars(prices, model, usage) == pytest.approx((direct, native))
    assert prices.native_is_cheaper(model) == (native < direct)


def test_azure_costs_what_the_catalogue_says_of_openai_less_its_own_discount() -> None:
    prices = prices_of("azure", base_url="https://a.openai.azure.com/openai/v1", catalogue_prices=True)
    assert dollars(prices, "gpt-4o", Usage(input_tokens=MILLION, output_tokens=MILLION)) == (12.5, 6.25)


@pytest.mark.parametrize(
    ("provider", "model", "direct", "native"),
    [
        pytest.param("openai", "gpt-5-mini", 0.025, 0.0125, id="both discounts"),
        pytest.param("openai", "gpt-4.1", 0.5, 1.0, id="no price of cached input in batches is published"),
        pytest.param("groq", "openai/gpt-oss-120b", 0.075, 0.075, id="the discounts exclude each other"),
    ],
)
def test_tokens_from_the_cache_in_each_lane(provider: str, model: str, direct: float, native: float) -> None:
    assert dollars(prices_of(provider), model, CACHED) == pytest.approx((direct, native))


def test_the_discount_of_groq_excludes_that_of_the_cache_for_prices_of_the_settings_too() -> None:
    prices = prices_of("groq", prices={"m": PriceSettings(input=1, cached_input=0.2, output=1)})
    assert dollars(prices, "m", CACHED) == (0.2, 0.5)


def test_tokens_written_to_the_cache_of_anthropic_cost_more_than_other_input() -> None:
    usage = Usage(input_tokens=100_000, cache_write_tokens=100_000, long_cache_write_tokens=40_000)
    assert dollars(prices_of("anthropic"), "claude-haiku-4-5", usage) == pytest.approx((0.155, 0.0775))


def test_long_contexts_have_prices_of_their_own_in_both_lanes() -> None:
    prices = prices_of("anthropic")
    assert dollars(prices, "claude-sonnet-4-5", Usage(input_tokens=200_000)) == pytest.approx((0.6, 0.3))
    assert dollars(prices, "claude-sonnet-4-5", Usage(input_tokens=200_001)) == pytest.approx((1.2, 0.6), rel=1e-4)


def test_requests_of_perplexity_have_a_price_beside_their_tokens() -> None:
    assert dollars(prices_of("perplexity"), "sonar", Usage()) == (0.012, 0.012)


def test_a_price_of_a_batch_that_is_not_in_force_yet_is_replaced_by_the_published_discount() -> None:
    usage = Usage(input_tokens=MILLION, output_tokens=MILLION)
    assert dollars(prices_of("openai", BEFORE_BATCH_PRICES), "gpt-5-mini", usage) == (2.25, 1.125)


def test_prices_and_factors_of_the_settings_come_first() -> None:
    usage = Usage(input_tokens=MILLION, output_tokens=MILLION)
    given = {"gpt-5-mini": PriceSettings(input=1, output=1)}
    prices = prices_of("openai", prices=given, native_factors={"gpt-5-mini": 0.4, "*": 0.9})
    assert dollars(prices, "gpt-5-mini", usage) == pytest.approx((2, 0.8))
    assert dollars(prices, "gpt-5-nano", usage) == pytest.approx((0.45, 0.405))


def test_a_factor_of_one_means_that_the_native_lane_is_not_cheaper() -> None:
    assert not prices_of("openai", native_factors={"*": 1}).native_is_cheaper("gpt-5-mini")
    assert not prices_of("openai", native_factors={"*": 1}).native_is_cheaper("without-a-price")
    assert prices_of("openai").native_is_cheaper("without-a-price")


def test_some_models_of_xai_have_a_discount() -> None:
    models = ("grok-4.3", "grok-4.3-unlisted", "grok-4.20-unlisted", "grok-4", "unlisted")
    assert [prices_of("xai").native_is_cheaper(model) for model in models] == [True, True, True, False, False]
    assert dollars(prices_of("xai", prices={"*": PriceSettings(input=1, output=1)}), "grok-4.20", CACHED) == (1, 0.8)


def test_prices_change_with_the_time() -> None:
    times = [int(BEFORE_BATCH_PRICES.timestamp() * MICROSECONDS)]
    given = AccountSettings(provider="openai", api_key="key-of-the-provider")
    settings, transport = Settings(accounts={"a": given}), SimulatorTransport(SimulatorSettings())
    [endpoint] = endpoints(settings, transport, {}, no_secret, now=lambda: times[-1])
    assert endpoint.prices.native_is_cheaper("gpt-3.5-turbo-1106")
    times.append(int(NOW.timestamp() * MICROSECONDS))
    assert not endpoint.prices.native_is_cheaper("gpt-3.5-turbo-1106")
    assert times[1] - times[0] > HOUR


@pytest.mark.parametrize(
    "account",
    [
        pytest.param({"base_url": "http://localhost:1/v1"}, id="another host"),
        pytest.param({"catalogue_prices": False}, id="refused by the settings"),
    ],
)
def test_the_catalogue_is_not_used_for_another_host_or_against_the_settings(account: dict[str, Any]) -> None:
    assert prices_of("openai", **account).find("gpt-5-mini") is None


def test_the_catalogue_is_used_for_another_host_if_the_settings_say_so() -> None:
    prices = prices_of("openai", base_url="http://localhost:1/v1", catalogue_prices=True)
    assert prices.find("gpt-5-mini") is not None


def test_a_model_without_a_price_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    prices = prices_of("openai")
    assert [prices.find("my-own-model"), prices.find("my-own-model")] == [None, None]
    assert prices_of("ollama").find("my-own-model") is None
    [record] = caplog.records
    assert '[accounts.a.prices."my-own-model"]' in record.getMessage()


def test_without_the_extra_only_the_settings_have_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    prices = prices_of("openai", prices={"m": PriceSettings(input=1, output=1)})
    assert dollars(prices, "m", CACHED) == (1, 0.5)
    assert prices.find("gpt-5-mini") is None
    with pytest.raises(ConfigurationError, match=r"accounts\.a\.catalogue_prices: .*batchgate\[prices\]"):
        prices_of("openai", catalogue_prices=True)


def test_the_catalogue_cannot_be_asked_for_a_provider_that_it_does_not_have() -> None:
    with pytest.raises(ConfigurationError, match=r"accounts\.a\.catalogue_prices: .*no prices of nebius"):
        prices_of("nebius", catalogue_prices=True)


def test_every_provider_with_a_batch_api_has_a_sourced_discount_or_publishes_none() -> None:
    own_forms = {"anthropic", "mistral", "together", "xai", "openrouter", "fireworks", "gemini", "bedrock", "vertex"}
    assert BATCH_DISCOUNTS.keys() == {*OPENAI_DIALECTS, *own_forms} - {"perplexity"}
    assert batch_discount("cohere") == batch_discount("perplexity") == NO_DISCOUNT
    assert all(0 < discount.factor < 1 and discount.source for discount in BATCH_DISCOUNTS.values())


def test_the_catalogue_makes_no_connection_and_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    before = threading.active_count()
    assert prices_of("openai").find("gpt-5-mini") is not None
    assert prices_of("openai").find("not in the catalogue") is None
    assert threading.active_count() == before
