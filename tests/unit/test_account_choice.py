"""Which account runs a batch."""

import pytest

from batchgate.account_settings import AccountSettings
from batchgate.accounts import account_chooser
from batchgate.engine.model.errors import RefusedError
from batchgate.settings import Settings

NAMES = {"anthropic": "anthropic", "llama": "vllm", "large": "groq", "small": "groq"}


def settings(default: str | None = None, **accounts: str) -> Settings:
    """Make settings with these accounts and their providers."""
    found = {name: AccountSettings(provider=provider) for name, provider in accounts.items()}
    return Settings(accounts=found, default_provider=default)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        pytest.param("llama", "llama", id="account"),
        pytest.param("vllm", "llama", id="provider with one account"),
        pytest.param("anthropic", "anthropic", id="account called like its provider"),
    ],
)
def test_what_a_create_names_is_an_account_or_a_provider_with_a_single_one(asked: str, chosen: str) -> None:
    assert account_chooser(settings(**NAMES), "provider")(asked) == chosen


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("acme", "provider: there is no account 'acme'; configured: anthropic, llama, large, small"),
        ("groq", "provider: provider groq has several accounts; name one of large, small"),
    ],
)
def test_a_name_that_leaves_a_doubt_is_refused(asked: str, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        account_chooser(settings(**NAMES), "provider")(asked)
    assert (refused.value.message, refused.value.param) == (message, "provider")


@pytest.mark.parametrize(
    ("configured", "chosen"),
    [
        pytest.param(settings(anthropic="anthropic", openai="openai"), "openai", id="preferred"),
        pytest.param(settings(anthropic="anthropic", llama="vllm"), "anthropic", id="anthropic"),
        pytest.param(settings(llama="vllm"), "llama", id="the only one"),
        pytest.param(settings("large", anthropic="anthropic", large="groq"), "large", id="default of the settings"),
        pytest.param(settings("llama", openai="openai", llama="vllm"), "openai", id="preferred to the default"),
    ],
)
def test_a_create_that_names_none_goes_to_the_surface_s_own_account_or_the_default(
    configured: Settings, chosen: str
) -> None:
    assert account_chooser(configured, "provider", preferred="openai")(None) == chosen


def test_without_accounts_nothing_can_run() -> None:
    for asked in (None, "openai"):
        with pytest.raises(RefusedError, match="no account is configured"):
            account_chooser(settings(), "provider")(asked)
