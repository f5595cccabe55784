"""Accounts that could make no call are refused at the start, with the setting and what it should be."""

from pathlib import Path
from typing import Any

import pytest

from batchgate.accounts import endpoints
from batchgate.engine.model.errors import ConfigurationError
from batchgate.providers.registry.providers import PROVIDERS
from batchgate.providers.simulator.simulator import SimulatorTransport
from batchgate.settings import AccountSettings, Settings
from tests.support.engine_parts import no_secret

LOCAL = "http://127.0.0.1:8000/v1"
NEEDS_KEY = sorted(PROVIDERS.keys() - {"vllm", "sgl", "ollama", "azure"})


def build(**account: Any) -> str:
    """Build the endpoint of an account ``mine``, and return its base URL."""
    settings = Settings(accounts={"mine": AccountSettings(**account)})
    (endpoint,) = endpoints(settings, SimulatorTransport(), {"KEY": "k"}, no_secret)
    return endpoint.account.base_url


@pytest.mark.parametrize("provider", NEEDS_KEY)
@pytest.mark.parametrize("key", [{}, {"api_key": ""}, {"base_url": ""}])
def test_an_account_of_a_hosted_provider_needs_a_key(provider: str, key: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        build(provider=provider, **key)
    assert str(refused.value) == (
        f"accounts.mine.api_key: the key for {PROVIDERS[provider].base_url}, better in api_key_env, api_key_file or "
        "api_key_secret; a server that needs no key has a base_url of its own"
    )


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
