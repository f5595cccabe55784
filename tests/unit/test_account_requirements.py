"""Accounts that could make no call are refused at the start, with the setting and what it should be."""

from pathlib import Path
from typing import Any

import pytest

from batchgate.account_settings import AccountSettings
from batchgate.accounts import endpoints
from batchgate.engine.model.errors import ConfigurationError
from batchgate.providers.registry.providers import PROVIDERS
from batchgate.providers.simulator.simulator import SimulatorTransport
from batchgate.settings import Settings
from tests.support.engine_parts import no_secret

LOCAL = "http://127.0.0.1:8000/v1"
NEEDS_KEY = sorted(PROVIDERS.keys() - {"vllm", "sgl", "ollama", "azure"})


def build(**account: Any) -> str:
    """Build the endpoint of an account ``mine``, and return its base URL."""
    settings = Settings(accounts={"mine": AccountSettings(**account)})
    (endpoint,) = endpoints(settings, SimulatorTransport(), {"KEY": "k"}, no_secret)
    return endpoint.account.base_url


def region(provider: str) -> dict[str, str]:
    """Return the setting of the region, for a provider that has several."""
    return {"region": "eu-west-1"} if PROVIDERS[provider].has_regions else {}


def test_an_account_of_bedrock_needs_a_region_and_others_have_none() -> None:
    with pytest.raises(ConfigurationError, match=r"accounts\.mine\.region: the region of the models"):
        build(provider="bedrock", api_key="k")
    with pytest.raises(ConfigurationError, match=r"accounts\.mine\.region: left out: openai has no regions"):
        build(provider="openai", api_key="k", region="eu-west-1")
    url = build(provider="bedrock", api_key="k", region="eu-west-1")
    assert url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert build(provider="bedrock", api_key="k", region="eu-west-1", base_url=LOCAL) == LOCAL


def test_only_cohere_asks_what_embeddings_are_for() -> None:
    assert build(provider="cohere", api_key="k", embedding_input_type="clustering") == "https://api.cohere.com"
    with pytest.raises(ConfigurationError, match=r"accounts\.mine\.embedding_input_type: left out: only cohere asks"):
        build(provider="openai", api_key="k", embedding_input_type="clustering")


@pytest.mark.parametrize("provider", NEEDS_KEY)
@pytest.mark.parametrize("key", [{}, {"api_key": ""}, {"base_url": ""}])
def test_an_account_of_a_hosted_provider_needs_a_key(provider: str, key: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        build(provider=provider, **region(provider), **key)
    base_url = PROVIDERS[provider].base_url.format(region="eu-west-1")
    assert str(refused.value) == (
        f"accounts.mine.api_key: the key for {base_url}, better in api_key_env, api_key_file or "
        "api_key_secret; a server that needs no key has a base_url of its own"
    )


def test_only_providers_with_tasks_keep_outputs() -> None:
    assert build(provider="runway", api_key="k", keep_outputs=True) == "https://api.dev.runwayml.com"
    with pytest.raises(ConfigurationError, match=r"accounts\.mine\.keep_outputs: false: openai has no tasks"):
        build(provider="openai", api_key="k", keep_outputs=True)


def test_only_gemini_has_two_apis() -> None:
    google = "https://generativelanguage.googleapis.com"
    assert build(provider="gemini", api_key="k") == google
    compatible = f"{google}/v1beta/openai"
    assert build(provider="gemini", api_key="k", api="openai") == compatible
    assert build(provider="gemini", api_key="k", api="openai", base_url=compatible) == compatible
    with pytest.raises(ConfigurationError, match=r"^accounts.mine.api: openai for a base_url that ends with /openai$"):
        build(provider="gemini", api_key="k", base_url=compatible)
    with pytest.raises(ConfigurationError, match=r"^accounts.mine.api: native: openai has one API$"):
        build(provider="openai", api_key="k", api="openai")


@pytest.mark.parametrize(("provider", "port"), [("vllm", 8000), ("sgl", 30000)])
@pytest.mark.parametrize("given", [{}, {"api_key": "k"}, {"base_url": ""}])
def test_an_account_of_a_server_of_one_s_own_needs_a_url(provider: str, port: int, given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        build(provider=provider, **given)
    expected = f"the URL of the server, such as http://localhost:{port}/v1"
    assert str(refused.value) == f"accounts.mine.base_url: {expected}"


@pytest.mark.parametrize(
    ("account", "url"),
    [
        ({"provider": "openai", "api_key": "k"}, PROVIDERS["openai"].base_url),
        ({"provider": "openai", "api_key_env": "KEY"}, PROVIDERS["openai"].base_url),
        ({"provider": "openai", "api_key_file": "key"}, PROVIDERS["openai"].base_url),
        ({"provider": "openai", "api_key_secret": "prod"}, PROVIDERS["openai"].base_url),
        ({"provider": "openai", "base_url": LOCAL}, LOCAL),
        ({"provider": "anthropic", "base_url": LOCAL}, LOCAL),
        ({"provider": "vllm", "base_url": LOCAL}, LOCAL),
        ({"provider": "ollama"}, PROVIDERS["ollama"].base_url),
        ({"provider": "simulator"}, "http://simulator"),
    ],
)
def test_an_account_that_can_make_calls_is_built(account: dict[str, str], url: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    if "api_key_file" in account:
        account |= {"api_key_file": str(tmp_path / "key")}
    assert build(**account) == url


@pytest.mark.parametrize(
    ("provider", "nearest"),
    [
        ("opnai", "openai?"),
        ("Anthropic", "anthropic?"),
        ("llama.cpp", "vllm (any server with OpenAI's API, at its base_url)?"),
    ],
)
def test_an_unknown_provider_is_answered_with_the_nearest_one(provider: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        build(provider=provider, api_key="k")
    assert str(refused.value).endswith(f"not {provider!r}; did you mean {nearest}")
