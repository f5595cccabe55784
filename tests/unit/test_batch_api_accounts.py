"""Which accounts have a batch API: those at the provider's own host, and those that say so."""

import sys
from typing import Any

import msgspec
import pytest

from batchgate.account_settings import AccountSettings, DeploymentSettings
from batchgate.accounts import endpoints
from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.provider_call import RequestRow
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.registry.native_lanes import provider_batches
from batchgate.providers.simulator.simulator import SimulatorTransport
from batchgate.settings import Settings
from tests.support.engine_parts import no_secret

AZURE = {"provider": "azure", "base_url": "https://mine.openai.azure.com/openai/v1", "api_key": "k"}
DEPLOYED = {
    "gpt": DeploymentSettings(direct="gpt-standard", native="gpt-batch"),
    "old": DeploymentSettings(direct="o1"),
}


def build(**account: Any) -> AccountEndpoint:
    settings = Settings(accounts={"mine": AccountSettings(**account)})
    exchange = HttpExchange()
    (endpoint,) = endpoints(
        settings, SimulatorTransport(), {}, no_secret, lambda provider: provider_batches(provider, exchange)
    )
    return endpoint


@pytest.mark.parametrize(
    ("account", "has_batch_api"),
    [
        ({"provider": "openai", "api_key": "k"}, True),
        ({"provider": "anthropic", "api_key": "k"}, True),
        ({"provider": "openai", "base_url": "https://api.openai.com/v1/", "api_key": "k"}, True),
        ({"provider": "openai", "base_url": "http://proxy:4000/v1"}, False),
        ({"provider": "openai", "base_url": "http://proxy:4000/v1", "lane": "direct"}, False),
        ({"provider": "openai", "base_url": "http://proxy:4000/v1", "lane": "auto"}, True),
        ({"provider": "vllm", "base_url": "http://localhost:8000/v1"}, False),
        ({"provider": "vllm", "base_url": "http://localhost:8000/v1", "lane": "auto"}, False),
        ({"provider": "ollama"}, False),
        ({"provider": "gemini", "api_key": "k"}, True),
        ({"provider": "gemini", "api": "openai", "api_key": "k"}, False),
        ({"provider": "cohere", "api_key": "k"}, True),
        (AZURE, False),
        (AZURE | {"lane": "auto"}, True),
        (AZURE | {"deployments": DEPLOYED}, True),
    ],
)
def test_an_account_has_a_batch_api_at_the_providers_own_host_or_if_it_says_so(
    account: dict[str, Any], has_batch_api: bool
) -> None:
    assert (build(**account).batches is not None) is has_batch_api


@pytest.mark.parametrize("lane", ["auto", "native"])
def test_an_account_of_cohere_that_asks_for_jobs_needs_the_extra(lane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(provider="cohere", api_key="k", lane=lane).batches is not None
    monkeypatch.setitem(sys.modules, "fastavro", None)
    for others in ("direct", None):
        build(provider="cohere", api_key="k", lane=others)
    with pytest.raises(ConfigurationError) as refused:
        build(provider="cohere", api_key="k", lane=lane)
    expected = "direct without the extra cohere: pip install 'batchgate[cohere]'"
    assert str(refused.value) == f"accounts.mine.lane: {expected}"


def test_the_lane_of_an_account_is_auto_unless_it_has_another() -> None:
    assert build(provider="openai", api_key="k").account.lane == "auto"
    assert build(provider="openai", api_key="k", lane="direct").account.lane == "direct"


@pytest.mark.parametrize(
    ("model", "direct", "native"), [("gpt", "gpt-standard", "gpt-batch"), ("old", "o1", None), ("new", "new", None)]
)
def test_each_lane_names_the_deployment_of_a_model(model: str, direct: str, native: str | None) -> None:
    endpoint = build(**AZURE, deployments=DEPLOYED)
    row = RequestRow(custom_id="a", params=b'{"model":"x"}', model=model, headers={}, kind="chat_completions")
    assert msgspec.json.decode(endpoint.handler.encode(endpoint.account, row).body) == {"model": direct}
    assert endpoint.account.deployment(model).native == native
    if native is not None:
        assert endpoint.batches is not None
        line = msgspec.json.decode(endpoint.batches.encode(endpoint.account, row, "r0").line)
        assert line["body"] == {"model": native}


def test_without_deployments_a_request_names_the_deployment_of_both_lanes() -> None:
    account = build(**AZURE, lane="auto").account
    assert (account.deployment("mini").direct, account.deployment("mini").native) == (None, "mini")


def test_only_azure_has_deployments() -> None:
    with pytest.raises(ConfigurationError, match="only the provider azure has deployments"):
        build(provider="openai", api_key="k", deployments=DEPLOYED)
